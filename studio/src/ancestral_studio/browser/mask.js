// The mask of an edit as a picture and as text.

import { luma } from "../page/shared/pixels.js";
import { writePng } from "../page/shared/png.js";
import { Region } from "../page/shared/region.js";

// As `model/regions.py` reads masks, where these are explained.
const ONE_COLOUR = 8,
  SAME_PICTURE = 16,
  COLOURED = 64,
  COLOURED_SHARE = 0.01;

// The mean distance of the colours of two pictures where one is painted.
function distance(data, other, painted) {
  let sum = 0,
    count = 0;
  for (let i = 0; i < painted.length; i++) {
    if (!painted[i]) continue;
    for (let c = 0; c < 3; c++) sum += Math.abs(data[4 * i + c] - other[4 * i + c]);
    count += 3;
  }
  return sum / count;
}

// The largest distance of the colours of the painted pixels of a picture.
function spread(data, painted) {
  const least = [255, 255, 255],
    most = [0, 0, 0];
  for (let i = 0; i < painted.length; i++) {
    for (let c = 0; painted[i] && c < 3; c++) {
      least[c] = Math.min(least[c], data[4 * i + c]);
      most[c] = Math.max(most[c], data[4 * i + c]);
    }
  }
  return Math.max(...most.map((value, c) => value - least[c]));
}

export class Mask extends Region {
  unsure = false; // whether a picture may have meant the other part

  copy() {
    return new Mask(this.width, this.height, this.pixels.slice());
  }

  // Adds all pixels whose centre is within a distance of one of the mask's own: a round edge.
  grow(distance) {
    const { width, height, pixels } = this,
      nearest = new Float64Array(width * height).fill(Infinity);
    for (let y = 0; y < height; y++) {
      // squares of the distances along each row
      for (const reverse of [false, true]) {
        let since = Infinity;
        for (let i = 0; i < width; i++) {
          const place = y * width + (reverse ? width - 1 - i : i);
          since = pixels[place] ? 0 : since + 1;
          nearest[place] = Math.min(nearest[place], since * since);
        }
      }
    }
    const reach = Math.floor(distance),
      square = distance * distance,
      wide = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      for (let row = Math.max(0, y - reach); row <= Math.min(height - 1, y + reach); row++) {
        const rest = square - (row - y) * (row - y);
        for (let x = 0; x < width; x++) if (nearest[row * width + x] <= rest) wide[y * width + x] = 1;
      }
    }
    pixels.set(wide);
  }

  // Fills (1) or erases (0) what a closed line goes around: all pixels whose centre is inside, and those under the line.
  polygon(places, value = 1) {
    const { width, height, pixels } = this;
    for (let y = 0; y < height; y++) {
      const crossings = places
        .flatMap((from, i) => {
          const to = places[(i + 1) % places.length];
          const above = from.y <= y + 0.5;
          return above === to.y <= y + 0.5 ? [] : [from.x + ((y + 0.5 - from.y) / (to.y - from.y)) * (to.x - from.x)];
        })
        .sort((one, other) => one - other);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const start = Math.min(width, Math.max(0, Math.ceil(crossings[i] - 0.5)));
        const end = Math.min(width, Math.max(start, Math.ceil(crossings[i + 1] - 0.5)));
        pixels.fill(value, y * width + start, y * width + end);
      }
    }
    places.forEach((from, i) => this.stroke(from, places[(i + 1) % places.length], 1, value));
  }

  // Fills (1) or erases (0) the pixels that are joined to a place by others with its value.
  fillFrom({ x, y }, value = 1) {
    const { width, height, pixels } = this,
      waiting = [Math.floor(y) * width + Math.floor(x)];
    while (waiting.length) {
      const place = waiting.pop();
      if (pixels[place] === value) continue;
      pixels[place] = value;
      const column = place % width;
      if (column > 0) waiting.push(place - 1);
      if (column < width - 1) waiting.push(place + 1);
      if (place >= width) waiting.push(place - width);
      if (place < width * (height - 1)) waiting.push(place + width);
    }
  }

  // The mask of a canvas that is larger by pixels on the left, top, right and bottom, all of which change; negative
  // numbers cut off.
  extended([left, top, right, bottom]) {
    const result = new Mask(this.width + left + right, this.height + top + bottom);
    result.pixels.fill(1);
    const start = Math.max(0, -left),
      end = Math.min(this.width, this.width + right);
    for (let y = Math.max(0, -top); y < Math.min(this.height, this.height + bottom); y++) {
      const row = this.pixels.subarray(y * this.width + start, y * this.width + end);
      result.pixels.set(row, (y + top) * result.width + start + left);
    }
    return result;
  }

  // White changes.
  toPng() {
    const white = this.pixels.map(value => value * 255);
    return writePng(white, [1, this.height, this.width]);
  }

  // The mask of a picture {width, height, data: RGBA} as `read_mask` reads it: white changes; of a picture with
  // transparent pixels those that are painted, or of a copy of the image with holes these. `image` has its size. What
  // Python refuses since either may be meant is taken as painted, and `unsure`: the editor shows it.
  static ofPicture({ width, height, data }, image = null) {
    const mask = new Mask(width, height),
      alpha = mask.pixels.map((_, i) => data[4 * i + 3]);
    const most = alpha.reduce((one, other) => Math.max(one, other), 0),
      painted = alpha.map(value => Number(value > most >> 1)),
      count = painted.reduce((sum, value) => sum + value, 0);
    if (!most) throw new RangeError("nothing is painted: the mask is transparent everywhere; paint the part that changes");
    if (count < painted.length) {
      const copies = image !== null && distance(data, image.data, painted) <= SAME_PICTURE,
        oneColour = spread(data, painted) <= ONE_COLOUR;
      const holes = copies && !oneColour;
      mask.pixels.set(holes ? painted.map(value => 1 - value) : painted);
      mask.unsure = copies ? oneColour : count > painted.length / 2;
      return mask;
    }
    const grey = painted.map((_, i) => luma(data.subarray(4 * i, 4 * i + 3)));
    const coloured = painted.filter((_, i) => {
      const colour = data.subarray(4 * i, 4 * i + 3);
      return Math.max(...colour) - Math.min(...colour) > COLOURED;
    }).length;
    if (coloured > COLOURED_SHARE * painted.length)
      throw new RangeError(
        "the mask has colours and no transparent pixels: paint what changes on a transparent ground, or white on black",
      );
    const threshold = grey.reduce((one, other) => Math.max(one, other), 0) === 1 ? 0 : 127; // labels are 0 and 1
    mask.pixels.set(grey.map(value => Number(value > threshold)));
    return mask;
  }

  // The mask of what is transparent in a picture {width, height, data: RGBA}, also in part, as `hole_mask` reads it; null
  // of a picture without such pixels, and of one without others.
  static ofHoles({ width, height, data }) {
    const mask = new Mask(width, height),
      alpha = mask.pixels.map((_, i) => data[4 * i + 3]);
    const most = alpha.reduce((one, other) => Math.max(one, other), 0);
    mask.pixels.set(alpha.map(value => Number(value < most || !value)));
    return mask.count && mask.count < alpha.length ? mask : null;
  }

  // The mask in another size, in which a pixel changes if any part of it does.
  resized(width, height) {
    if (width === this.width && height === this.height) return this.copy();
    const result = new Mask(width, height);
    for (let y = 0; y < height; y++) {
      const top = Math.floor((y * this.height) / height),
        bottom = Math.ceil(((y + 1) * this.height) / height);
      for (let x = 0; x < width; x++) {
        const left = Math.floor((x * this.width) / width),
          right = Math.ceil(((x + 1) * this.width) / width);
        for (let row = top; row < bottom; row++) {
          if (this.pixels.subarray(row * this.width + left, row * this.width + right).includes(1)) {
            result.pixels[y * width + x] = 1;
            break;
          }
        }
      }
    }
    return result;
  }

  // The mask as text: its size and the lengths of runs of equal pixels, the first of which are 0.
  pack() {
    const runs = [];
    let value = 0,
      length = 0;
    for (const pixel of this.pixels) {
      if (pixel !== value) {
        runs.push(length.toString(36));
        [value, length] = [pixel, 0];
      }
      length++;
    }
    runs.push(length.toString(36));
    return `${this.width}x${this.height}:${runs.join(",")}`;
  }

  static unpack(text) {
    const [, width, height, runs] = /^(\d+)x(\d+):(.*)$/.exec(text),
      mask = new Mask(Number(width), Number(height));
    let place = 0,
      value = 0;
    for (const run of runs.split(",")) {
      const length = parseInt(run, 36);
      if (value) mask.pixels.fill(1, place, place + length);
      place += length;
      value = 1 - value;
    }
    return mask;
  }
}
