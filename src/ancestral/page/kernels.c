/* The kernels of network.js: one evaluation of a network for one item, in float32, on WebAssembly SIMD.
 *
 * Activations lie channels-last: a "row" is one pixel (or token), whose channels are contiguous. Addresses are bytes of
 * the linear memory, strides of rows are bytes too, and strides of the elementwise kernel are floats. There is no libc,
 * no allocation and no state: network_program.py has planned the memory. `make kernels` builds kernels.wasm.
 * Fused multiply-adds of relaxed SIMD were 3 % faster, which does not pay a second file for browsers without them.
 */
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef v128_t f4;

INLINE f4 load(const float *p) { return wasm_v128_load(p); }
INLINE void store(float *p, f4 v) { wasm_v128_store(p, v); }
INLINE f4 splat(float v) { return wasm_f32x4_splat(v); }
INLINE f4 add(f4 a, f4 b) { return wasm_f32x4_add(a, b); }
INLINE f4 sub(f4 a, f4 b) { return wasm_f32x4_sub(a, b); }
INLINE f4 mul(f4 a, f4 b) { return wasm_f32x4_mul(a, b); }
INLINE f4 divide(f4 a, f4 b) { return wasm_f32x4_div(a, b); }
INLINE f4 choose(f4 mask, f4 a, f4 b) { return wasm_v128_bitselect(a, b, mask); }
INLINE f4 madd(f4 a, f4 b, f4 c) { return add(mul(a, b), c); }

INLINE float sum_lanes(f4 v) {
  v = add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  v = add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(v, 0);
}

INLINE float max_lanes(f4 v) {
  v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(v, 0);
}

/* Store the first `count` of 4 lanes. */
INLINE void store_some(float *p, f4 v, int count) {
  if (count >= 4) {
    store(p, v);
    return;
  }
  if (count > 0) p[0] = wasm_f32x4_extract_lane(v, 0);
  if (count > 1) p[1] = wasm_f32x4_extract_lane(v, 1);
  if (count > 2) p[2] = wasm_f32x4_extract_lane(v, 2);
}

/* Load the first `count` of 4 lanes; the others are 0. */
INLINE f4 load_some(const float *p, int count) {
  if (count >= 4) return load(p);
  f4 v = splat(0);
  if (count > 0) v = wasm_f32x4_replace_lane(v, 0, p[0]);
  if (count > 1) v = wasm_f32x4_replace_lane(v, 1, p[1]);
  if (count > 2) v = wasm_f32x4_replace_lane(v, 2, p[2]);
  return v;
}

/* exp by 2^n e^r with |r| <= ln 2 / 2 and a polynomial of degree 6: within 2 units in the last place. */
INLINE f4 exponential(f4 x) {
  x = wasm_f32x4_pmin(splat(88.3762626f), wasm_f32x4_pmax(splat(-87.3365402f), x));
  f4 n = wasm_f32x4_nearest(mul(x, splat(1.44269504f)));
  f4 r = sub(sub(x, mul(n, splat(0.693359375f))), mul(n, splat(-2.12194440e-4f)));
  f4 p = splat(1.9875691500e-4f);
  p = madd(p, r, splat(1.3981999507e-3f));
  p = madd(p, r, splat(8.3334519073e-3f));
  p = madd(p, r, splat(4.1665795894e-2f));
  p = madd(p, r, splat(1.6666665459e-1f));
  p = madd(p, r, splat(5.0000001201e-1f));
  p = add(madd(p, mul(r, r), r), splat(1));
  f4 power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  return mul(p, power);
}

INLINE f4 sigmoid(f4 x) { return divide(splat(1), add(splat(1), exponential(wasm_f32x4_neg(x)))); }
INLINE f4 silu(f4 x) { return divide(x, add(splat(1), exponential(wasm_f32x4_neg(x)))); }
INLINE f4 hyperbolic(f4 x) { return sub(splat(1), divide(splat(2), add(exponential(add(x, x)), splat(1)))); }

/* The error function, to 4e-7 (Abramowitz and Stegun, 7.1.26). */
INLINE f4 error_function(f4 x) {
  f4 size = wasm_f32x4_abs(x), t = divide(splat(1), madd(splat(0.3275911f), size, splat(1)));
  f4 p = madd(splat(1.061405429f), t, splat(-1.453152027f));
  p = madd(p, t, splat(1.421413741f));
  p = madd(p, t, splat(-0.284496736f));
  p = mul(madd(p, t, splat(0.254829592f)), t);
  f4 y = sub(splat(1), mul(p, exponential(wasm_f32x4_neg(mul(size, size)))));
  return choose(wasm_i32x4_splat((int32_t)0x80000000), x, y);
}

/* Dense layers and convolutions -----------------------------------------------------------------------------------
 *
 * out[p] = act(bias + residual[p] + sum over taps t and channels c of in[place(p, t)][c] W[t][c]) for each row p. The
 * places come from a table (rows, taps) of byte offsets, -1 for a row of zeros; without a table row p is at p * stride.
 * W lies in blocks of 8 columns (of 4, where at most 4 are left): [block][tap][channel][8].
 */
#define ROWS 5   /* rows of a tile: with 8 columns, what 15 registers hold */
#define PANEL 60 /* rows whose inputs stay in the cache while all columns are computed */

typedef struct {
  const char *in, *residual;
  char *out;
  const int32_t *table;
  const float *bias, *zeros;
  int stride, taps, channels, columns, residual_stride, out_stride, act;
} Product;

INLINE void tile(const int M, const int V, const Product *job, int row, int column, const float *w) {
  f4 sum[ROWS][2];
  UNROLL for (int j = 0; j < V; j++) {
    f4 start = job->bias ? load(job->bias + column + 4 * j) : splat(0);
    UNROLL for (int i = 0; i < M; i++) sum[i][j] = start;
  }
  const int channels = job->channels, taps = job->taps;
  for (int t = 0; t < taps; t++) {
    const float *a[ROWS];
    UNROLL for (int i = 0; i < M; i++) {
      if (job->table) {
        int place = job->table[(row + i) * taps + t];
        a[i] = place < 0 ? job->zeros : (const float *)(job->in + place);
      } else {
        a[i] = (const float *)(job->in + (row + i) * job->stride);
      }
    }
    int k = 0;
    for (; k + 4 <= channels; k += 4) {
      UNROLL for (int n = 0; n < 4; n++) {
        f4 right[2];
        UNROLL for (int j = 0; j < V; j++) right[j] = load(w + 4 * (n * V + j));
        UNROLL for (int i = 0; i < M; i++) {
          f4 left = wasm_v128_load32_splat(a[i] + n);
          UNROLL for (int j = 0; j < V; j++) sum[i][j] = madd(left, right[j], sum[i][j]);
        }
      }
      UNROLL for (int i = 0; i < M; i++) a[i] += 4;
      w += 16 * V;
    }
    for (; k < channels; k++) {
      UNROLL for (int i = 0; i < M; i++) {
        f4 left = wasm_v128_load32_splat(a[i]);
        UNROLL for (int j = 0; j < V; j++) sum[i][j] = madd(left, load(w + 4 * j), sum[i][j]);
        a[i]++;
      }
      w += 4 * V;
    }
  }
  UNROLL for (int i = 0; i < M; i++) {
    float *out = (float *)(job->out + (row + i) * job->out_stride) + column;
    const float *more = (const float *)(job->residual + (row + i) * job->residual_stride) + column;
    UNROLL for (int j = 0; j < V; j++) {
      int left = job->columns - column - 4 * j;
      f4 v = sum[i][j];
      if (job->residual) v = add(v, load_some(more + 4 * j, left));
      if (job->act) v = silu(v);
      store_some(out + 4 * j, v, left);
    }
  }
}


INLINE void block(const int V, const Product *job, int row, int rows, int column, const float *w) {
  for (; row + ROWS <= rows; row += ROWS) tile(ROWS, V, job, row, column, w);
  switch (rows - row) {
    case 4: tile(4, V, job, row, column, w); break;
    case 3: tile(3, V, job, row, column, w); break;
    case 2: tile(2, V, job, row, column, w); break;
    case 1: tile(1, V, job, row, column, w); break;
  }
}

static __attribute__((noinline)) void multiply(const Product *job, int rows, const float *weights) {
  for (int first = 0; first < rows; first += PANEL) {
    int end = first + PANEL < rows ? first + PANEL : rows, column = 0;
    const float *w = weights;
    for (; job->columns - column > 4; column += 8) {
      block(2, job, first, end, column, w);
      w += 8 * job->taps * job->channels;
    }
    if (column < job->columns) block(1, job, first, end, column, w);
  }
}

EXPORT(product)
void product(char *out, int out_stride, const char *in, int stride, const int32_t *table, int taps, int channels,
             const float *weights, int columns, const float *bias, const char *residual, int residual_stride, int act,
             int rows, const float *zeros) {
  Product job = {in, residual, out, table, bias, zeros, stride, taps, channels, columns, residual_stride, out_stride, act};
  multiply(&job, rows, weights);
}

/* Number of floats that `pack` writes for a column count: whole blocks. */
INLINE int padded(int columns) { return columns % 8 > 4 || columns % 8 == 0 ? (columns + 7) / 8 * 8 : columns / 8 * 8 + 4; }

/* The weights as `product` reads them: [block][tap][channel][8], from strides in floats. */
EXPORT(pack)
void pack(float *to, const float *from, int columns, int taps, int channels, int by_column, int by_tap, int by_channel) {
  for (int column = 0; column < columns;) {
    int width = columns - column > 4 ? 8 : 4;
    for (int t = 0; t < taps; t++) {
      for (int c = 0; c < channels; c++) {
        const float *p = from + column * by_column + t * by_tap + c * by_channel;
        for (int j = 0; j < width; j++) *to++ = column + j < columns ? p[j * by_column] : 0;
      }
    }
    column += width;
  }
}

/* Along one axis of a convolution: how many outputs and inputs, and which input an output's tap meets. */
typedef struct {
  int outputs, inputs, bytes, taps, stride, padding, dilation, repeat, transposed;
} Axis;

INLINE int meets(const Axis *axis, int output, int tap) {
  int place = axis->transposed ? output + axis->padding - tap * axis->dilation
                               : output * axis->stride - axis->padding + tap * axis->dilation;
  if (place < 0) return -1;
  if (axis->transposed) {
    if (place % axis->stride) return -1;
    place /= axis->stride;
  }
  place /= axis->repeat;
  return place < axis->inputs ? place * axis->bytes : -1;
}

/* The table of `product` for a convolution with three axes of space. */
EXPORT(places)
void places(int32_t *to, const Axis *axis) {
  for (int z = 0; z < axis[0].outputs; z++)
    for (int y = 0; y < axis[1].outputs; y++)
      for (int x = 0; x < axis[2].outputs; x++)
        for (int i = 0; i < axis[0].taps; i++)
          for (int j = 0; j < axis[1].taps; j++)
            for (int k = 0; k < axis[2].taps; k++) {
              int a = meets(axis, z, i), b = meets(axis + 1, y, j), c = meets(axis + 2, x, k);
              *to++ = a < 0 || b < 0 || c < 0 ? -1 : a + b + c;
            }
}

/* Convolutions of 3x3 taps by Winograd's minimal filtering (Lavin and Gray 2016) ------------------------------------
 *
 * Tiles of 4x4 outputs cost 36 multiplications for each pair of channels in the place of 144: 6x6 inputs d are
 * transformed to B' d B, multiplied by the weights G g G', and added up over channels by `multiply` for each of the 36
 * places; A' m A are the outputs.
 */
#define SIDE 6
#define OUTPUTS 4

/* One pass of B' over 6 vectors, from and to every `step`-th. */
INLINE void into(f4 *d, int step) {
  f4 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step], g = d[5 * step];
  f4 four = splat(4), five = splat(5), two = splat(2);
  f4 sum = sub(f, mul(four, c)), difference = sub(e, mul(four, b));
  f4 wide = sub(f, c), narrow = mul(two, sub(e, b));
  d[0] = add(sub(mul(four, a), mul(five, c)), f);
  d[step] = add(sum, difference);
  d[2 * step] = sub(sum, difference);
  d[3 * step] = add(wide, narrow);
  d[4 * step] = sub(wide, narrow);
  d[5 * step] = add(sub(mul(four, b), mul(five, e)), g);
}

/* One pass of A': 6 vectors to 4. */
INLINE void outof(const f4 *m, int step, f4 *y, int y_step) {
  f4 sum = add(m[step], m[2 * step]), difference = sub(m[step], m[2 * step]);
  f4 wide = add(m[3 * step], m[4 * step]), narrow = sub(m[3 * step], m[4 * step]);
  y[0] = add(add(m[0], sum), wide);
  y[y_step] = add(difference, mul(splat(2), narrow));
  y[2 * y_step] = add(sum, mul(splat(4), wide));
  y[3 * y_step] = add(add(difference, mul(splat(8), narrow)), m[5 * step]);
}

/* The weights of `winograd`: for each of the 36 places as `pack` has them. */
EXPORT(winograd_pack)
void winograd_pack(float *to, const float *from, int columns, int channels, int by_column, int by_channel) {
  static const double G[SIDE][3] = {{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
                                    {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}};
  int size = padded(columns) * channels;
  for (int column = 0; column < padded(columns); column++) {
    int first = column & ~7, width = columns - first > 4 ? 8 : 4;
    for (int c = 0; c < channels; c++) {
      float *place = to + first * channels + c * width + column - first;
      const float *g = from + column * by_column + c * by_channel;
      double half[SIDE][3];
      for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < 3; j++)
          half[i][j] = column < columns ? G[i][0] * g[j] + G[i][1] * g[3 + j] + G[i][2] * g[6 + j] : 0;
      for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
          place[(SIDE * i + j) * size] = (float)(half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2]);
    }
  }
}

/* A convolution of 3x3 taps and stride 1, of channels in whole vectors. The axes are those of `places`. `many` tiles are
 * computed at once; scratch is 36 many (channels + columns) floats. */
EXPORT(winograd)
void winograd(char *out, int out_stride, const char *in, const Axis *axis, int channels, const float *weights, int columns,
              const float *bias, const char *residual, int residual_stride, int act, int many, float *scratch) {
  const Axis *down = axis + 1, *across = axis + 2;
  int height = down->outputs, width = across->outputs;
  int wide = (width + OUTPUTS - 1) / OUTPUTS, tiles = (height + OUTPUTS - 1) / OUTPUTS * wide;
  int size = padded(columns) * channels;
  float *products = scratch + SIDE * SIDE * many * channels;
  for (int first = 0; first < tiles; first += many) {
    int count = tiles - first < many ? tiles - first : many;
    for (int i = 0; i < count; i++) {
      int top = (first + i) / wide * OUTPUTS, left = (first + i) % wide * OUTPUTS;
      const float *pixel[SIDE * SIDE];
      for (int y = 0; y < SIDE; y++) {
        int row = meets(down, top, y);
        for (int x = 0; x < SIDE; x++) {
          int column = meets(across, left, x);
          pixel[SIDE * y + x] = row < 0 || column < 0 ? 0 : (const float *)(in + row + column);
        }
      }
      for (int c = 0; c < channels; c += 4) {
        f4 d[SIDE * SIDE];
        for (int k = 0; k < SIDE * SIDE; k++) d[k] = pixel[k] ? load(pixel[k] + c) : splat(0);
        for (int k = 0; k < SIDE; k++) into(d + k, SIDE);
        for (int k = 0; k < SIDE; k++) into(d + SIDE * k, 1);
        float *to = scratch + i * channels + c;
        for (int k = 0; k < SIDE * SIDE; k++) store(to + k * many * channels, d[k]);
      }
    }
    for (int k = 0; k < SIDE * SIDE; k++) {
      Product job = {(const char *)(scratch + k * many * channels), 0, (char *)(products + k * many * columns), 0, 0, 0,
                     4 * channels, 1, channels, columns, 0, 4 * columns, 0};
      multiply(&job, count, weights + k * size);
    }
    for (int i = 0; i < count; i++) {
      int top = (first + i) / wide * OUTPUTS, left = (first + i) % wide * OUTPUTS;
      for (int column = 0; column < columns; column += 4) {
        f4 m[SIDE * SIDE], half[OUTPUTS * SIDE], y[OUTPUTS * OUTPUTS];
        const float *from = products + i * columns + column;
        for (int k = 0; k < SIDE * SIDE; k++) m[k] = load(from + k * many * columns);
        for (int k = 0; k < SIDE; k++) outof(m + k, SIDE, half + k, SIDE);
        for (int k = 0; k < OUTPUTS; k++) outof(half + SIDE * k, 1, y + OUTPUTS * k, 1);
        f4 start = bias ? load(bias + column) : splat(0);
        for (int k = 0; k < OUTPUTS * OUTPUTS; k++) {
          int row = top + k / OUTPUTS, place = left + k % OUTPUTS;
          if (row >= height || place >= width) continue;
          place += row * width;
          f4 v = add(y[k], start);
          if (residual) v = add(v, load((const float *)(residual + place * residual_stride) + column));
          store((float *)(out + place * out_stride) + column, act ? silu(v) : v);
        }
      }
    }
  }
}

/* Normalisation ----------------------------------------------------------------------------------------------------- */

INLINE f4 row_lanes(const char *rows, int row, int stride, int channel, int count) {
  return load_some((const float *)(rows + row * stride) + channel, count);
}

/* Group normalisation of rows, and SiLU where `act`. `sums` is scratch of two floats for each channel. */
EXPORT(group_norm)
void group_norm(char *out, int out_stride, const char *in, int stride, int rows, int channels, int groups,
                const float *gamma, const float *beta, float eps, int act, float *sums) {
  int each = channels / groups;
  float *square = sums + channels;
  for (int pass = 0; pass < 2; pass++) {  // the mean, then the squares around it: no cancellation
    for (int c = 0; c < channels; c += 4) {
      int count = channels - c;
      f4 mean = pass ? load_some(sums + c, count) : splat(0), total = splat(0);
      for (int row = 0; row < rows;) {  // sums of sums: rounding grows with the root of the number of rows
        int end = row + 64 < rows ? row + 64 : rows;
        f4 part = splat(0);
        for (; row < end; row++) {
          f4 v = row_lanes(in, row, stride, c, count);
          if (pass) {
            v = sub(v, mean);
            part = madd(v, v, part);
          } else {
            part = add(part, v);
          }
        }
        total = add(total, part);
      }
      store_some((pass ? square : sums) + c, total, count);
    }
    float *values = pass ? square : sums;
    for (int group = 0; group < groups; group++) {
      float total = 0;
      for (int c = 0; c < each; c++) total += values[group * each + c];
      total /= (float)(rows * each);
      if (pass) total = 1 / __builtin_sqrtf(total + eps);
      for (int c = 0; c < each; c++) values[group * each + c] = total;
    }
  }
  for (int c = 0; c < channels; c++) {
    float scale = square[c] * (gamma ? gamma[c] : 1);
    sums[c] = (beta ? beta[c] : 0) - sums[c] * scale;
    square[c] = scale;
  }
  for (int row = 0; row < rows; row++) {
    float *to = (float *)(out + row * out_stride);
    for (int c = 0; c < channels; c += 4) {
      int count = channels - c;
      f4 v = madd(row_lanes(in, row, stride, c, count), load_some(square + c, count), load_some(sums + c, count));
      store_some(to + c, act ? silu(v) : v, count);
    }
  }
}

/* Layer normalisation of each row. */
EXPORT(layer_norm)
void layer_norm(char *out, int out_stride, const char *in, int stride, int rows, int channels, const float *gamma,
                const float *beta, float eps) {
  for (int row = 0; row < rows; row++) {
    const float *x = (const float *)(in + row * stride);
    float *to = (float *)(out + row * out_stride);
    f4 total = splat(0);
    for (int c = 0; c < channels; c += 4) total = add(total, load_some(x + c, channels - c));
    f4 mean = splat(sum_lanes(total) / (float)channels);
    total = splat(0);
    int c = 0;
    for (; c + 4 <= channels; c += 4) {
      f4 v = sub(load(x + c), mean);
      total = madd(v, v, total);
    }
    float squares = sum_lanes(total);
    for (; c < channels; c++) {
      float v = x[c] - wasm_f32x4_extract_lane(mean, 0);
      squares += v * v;
    }
    f4 rate = splat(1 / __builtin_sqrtf(squares / (float)channels + eps));
    for (c = 0; c < channels; c += 4) {
      int count = channels - c;
      f4 v = mul(sub(load_some(x + c, count), mean), rate);
      if (gamma) v = mul(v, load_some(gamma + c, count));
      if (beta) v = add(v, load_some(beta + c, count));
      store_some(to + c, v, count);
    }
  }
}

/* Softmax of each row in place, of `scale` times its numbers. */
INLINE void soften(float *x, int count, float scale) {
  f4 most = splat(-__builtin_inff());
  int i = 0;
  for (; i + 4 <= count; i += 4) most = wasm_f32x4_pmax(most, load(x + i));
  float top = max_lanes(most);
  for (; i < count; i++) top = x[i] > top ? x[i] : top;
  f4 total = splat(0), high = splat(top), rate = splat(scale);
  for (i = 0; i + 4 <= count; i += 4) {
    f4 v = exponential(mul(sub(load(x + i), high), rate));
    store(x + i, v);
    total = add(total, v);
  }
  float sum = sum_lanes(total);
  for (; i < count; i++) {
    x[i] = wasm_f32x4_extract_lane(exponential(splat((x[i] - top) * scale)), 0);
    sum += x[i];
  }
  f4 inverse = splat(1 / sum);
  for (i = 0; i + 4 <= count; i += 4) store(x + i, mul(load(x + i), inverse));
  for (; i < count; i++) x[i] *= 1 / sum;
}

EXPORT(softmax)
void softmax(float *out, const float *in, int rows, int count) {
  for (int row = 0; row < rows; row++, out += count, in += count) {
    for (int i = 0; i < count; i++) out[i] = in[i];
    soften(out, count, 1);
  }
}

/* softmax(scale q k') v for each head. Strides are bytes. Scratch: the packed keys and values of a head, and CHUNK rows
 * of weights: padded(keys) width + padded(values) keys + CHUNK keys floats. */
#define CHUNK 32
EXPORT(attention)
void attention(char *out, int out_head, int out_row, const char *q, int q_head, int q_row, const char *k, int k_head,
               int k_row, const char *v, int v_head, int v_row, int heads, int queries, int keys, int width, int values,
               float scale, float *scratch) {
  float *packed_k = scratch, *packed_v = packed_k + padded(keys) * width, *weights = packed_v + padded(values) * keys;
  for (int head = 0; head < heads; head++) {
    pack(packed_k, (const float *)(k + head * k_head), keys, 1, width, k_row / 4, 0, 1);
    pack(packed_v, (const float *)(v + head * v_head), values, 1, keys, 1, 0, v_row / 4);
    for (int row = 0; row < queries; row += CHUNK) {
      int rows = queries - row < CHUNK ? queries - row : CHUNK;
      product((char *)weights, 4 * keys, q + head * q_head + row * q_row, q_row, 0, 1, width, packed_k, keys, 0, 0, 0, 0,
              rows, 0);
      for (int i = 0; i < rows; i++) soften(weights + i * keys, keys, scale);
      product(out + head * out_head + row * out_row, out_row, (const char *)weights, 4 * keys, 0, 1, keys, packed_v,
              values, 0, 0, 0, 0, rows, 0);
    }
  }
}

/* The rest ---------------------------------------------------------------------------------------------------------- */

enum {
  COPY, NEG, ABS, EXP, SIGMOID, SILU, TANH, RELU, SQRT, RSQRT, RECIPROCAL, ERF, TRUNC, FLOOR, CEIL, ROUND,
  ADD = 32, SUB, MUL, DIV, MAX, MIN, GE, GT, LE, LT, EQ, NE, AND, OR,
  WHERE = 64, ADDCMUL,
};

INLINE f4 truth(f4 mask) { return wasm_v128_and(mask, splat(1)); }

#define LOOP(expression)                                                                                   \
  for (int i = 0; i < count; i += 4, a += a_step, b += b_step, c += c_step) {                             \
    f4 x = load(a), y = load(b), z = load(c);                                                               \
    (void)x, (void)y, (void)z;                                                                             \
    store(out + i, expression);                                                                            \
  }                                                                                                        \
  break;

/* Apply an operation to whole vectors; a step is 4 floats, or 0 for a value that is repeated. */
static void apply(int operation, float *out, const float *a, const float *b, const float *c, int a_step, int b_step,
                  int c_step, int count) {
  f4 one = splat(1), none = splat(0);
  switch (operation) {
    case COPY: LOOP(x)
    case NEG: LOOP(wasm_f32x4_neg(x))
    case ABS: LOOP(wasm_f32x4_abs(x))
    case EXP: LOOP(exponential(x))
    case SIGMOID: LOOP(sigmoid(x))
    case SILU: LOOP(silu(x))
    case TANH: LOOP(hyperbolic(x))
    case RELU: LOOP(wasm_f32x4_max(x, none))
    case SQRT: LOOP(wasm_f32x4_sqrt(x))
    case RSQRT: LOOP(divide(one, wasm_f32x4_sqrt(x)))
    case RECIPROCAL: LOOP(divide(one, x))
    case ERF: LOOP(error_function(x))
    case TRUNC: LOOP(wasm_f32x4_trunc(x))
    case FLOOR: LOOP(wasm_f32x4_floor(x))
    case CEIL: LOOP(wasm_f32x4_ceil(x))
    case ROUND: LOOP(wasm_f32x4_nearest(x))
    case ADD: LOOP(add(x, y))
    case SUB: LOOP(sub(x, y))
    case MUL: LOOP(mul(x, y))
    case DIV: LOOP(divide(x, y))
    case MAX: LOOP(wasm_f32x4_max(x, y))
    case MIN: LOOP(wasm_f32x4_min(x, y))
    case GE: LOOP(truth(wasm_f32x4_ge(x, y)))
    case GT: LOOP(truth(wasm_f32x4_gt(x, y)))
    case LE: LOOP(truth(wasm_f32x4_le(x, y)))
    case LT: LOOP(truth(wasm_f32x4_lt(x, y)))
    case EQ: LOOP(truth(wasm_f32x4_eq(x, y)))
    case NE: LOOP(truth(wasm_f32x4_ne(x, y)))
    case AND: LOOP(truth(wasm_v128_and(wasm_f32x4_ne(x, none), wasm_f32x4_ne(y, none))))
    case OR: LOOP(truth(wasm_v128_or(wasm_f32x4_ne(x, none), wasm_f32x4_ne(y, none))))
    case WHERE: LOOP(choose(wasm_f32x4_ne(x, none), y, z))
    case ADDCMUL: LOOP(add(x, mul(y, z)))
  }
}

#define PART 64
#define AXES 8

/* Values of a stretch of the innermost axis as `apply` wants them: in place, repeated, or gathered into a buffer. */
INLINE const float *stretch(const float *from, int stride, int count, float *buffer, int *step) {
  *step = stride ? 4 : 0;
  if (stride == 1 && count % 4 == 0) return from;
  if (stride == 0) {
    store(buffer, splat(*from));
  } else {
    for (int i = 0; i < count; i++) buffer[i] = from[i * stride];
    for (int i = count; i % 4; i++) buffer[i] = 1;
  }
  return buffer;
}

/* out = operation(a, b, c), elementwise with broadcasting. The layout is the number of axes, then for each axis its
 * size and the strides of out, a, b and c in floats; the last axis is the innermost. */
EXPORT(map)
void map(int operation, float *out, const float *a, const float *b, const float *c, const int32_t *layout) {
  float buffers[4][PART] __attribute__((aligned(16)));
  int axes = *layout++, at[AXES] = {0};
  const int32_t *inner = layout + 5 * (axes - 1);
  const int size = inner[0], so = inner[1], sa = inner[2], sb = inner[3], sc = inner[4];
  const int whole = size & ~3, dense = so == 1 && sa < 2 && sb < 2 && sc < 2;
  for (;;) {
    for (int i = 0; i < size;) {
      int limit = dense && i < whole ? whole : PART, count = size - i < limit ? size - i : limit;
      int a_step, b_step, c_step, direct = so == 1 && count % 4 == 0;
      const float *x = stretch(a + i * sa, sa, count, buffers[0], &a_step);
      const float *y = stretch(b + i * sb, sb, count, buffers[1], &b_step);
      const float *z = stretch(c + i * sc, sc, count, buffers[2], &c_step);
      apply(operation, direct ? out + i : buffers[3], x, y, z, a_step, b_step, c_step, count);
      if (!direct) for (int j = 0; j < count; j++) out[(i + j) * so] = buffers[3][j];
      i += count;
    }
    int axis = axes - 2;
    for (; axis >= 0; axis--) {
      const int32_t *row = layout + 5 * axis;
      out += row[1], a += row[2], b += row[3], c += row[4];
      if (++at[axis] < row[0]) break;
      out -= row[0] * row[1], a -= row[0] * row[2], b -= row[0] * row[3], c -= row[0] * row[4];
      at[axis] = 0;
    }
    if (axis < 0) return;
  }
}

/* The row of a table whose number is a float. */
EXPORT(gather)
void gather(float *out, const float *table, const float *numbers, int count, int width) {
  for (int i = 0; i < count; i++) {
    const float *row = table + (int)numbers[i] * width;
    for (int j = 0; j < width; j++) *out++ = row[j];
  }
}

/* The sum (0), mean (1), greatest (2) or least (3) of each dense row. */
EXPORT(reduce)
void reduce(int operation, float *out, const float *in, int rows, int count) {
  for (int row = 0; row < rows; row++, in += count) {
    float result = operation < 2 ? 0 : in[0];
    if (operation < 2) {
      for (int i = 0; i < count;) {
        int end = i + 256 < count ? i + 256 : count;
        f4 part = splat(0);
        for (; i < end; i += 4) part = add(part, load_some(in + i, end - i));
        result += sum_lanes(part);
      }
      if (operation == 1) result /= (float)count;
    } else {
      for (int i = 1; i < count; i++) {
        int better = operation == 2 ? in[i] > result : in[i] < result;
        result = better ? in[i] : result;
      }
    }
    out[row] = result;
  }
}

EXPORT(fill)
void fill(float *out, int count, float value) {
  for (int i = 0; i < count; i += 4) store_some(out + i, splat(value), count - i);
}
