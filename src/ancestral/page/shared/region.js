// Which pixels of an image change: painted by strokes and boxes. There are no greys, as inpainting has none.

// Where a brush of a size in pixels is centred: odd sizes on the centre of a pixel, even ones on a corner of four.
export function centre(place, size) {
  return size % 2 ? Math.floor(place) + 0.5 : Math.round(place);
}

export class Region {
  constructor(width, height, pixels = new Uint8Array(width * height)) {
    this.width = width;
    this.height = height;
    this.pixels = pixels; // 1 where the image changes
  }

  get count() {
    return this.pixels.reduce((sum, value) => sum + value, 0);
  }

  // Paints (1) or erases (0) all pixels whose centre lies within half the size of the line between two places.
  // Places are in pixels of the image, with fractions. Returns the rectangle that may have changed.
  stroke(from, to, size, value = 1) {
    const [ax, ay, bx, by] = [from.x, from.y, to.x, to.y].map(place => centre(place, size));
    const radius = size / 2,
      dx = bx - ax,
      dy = by - ay,
      length = dx * dx + dy * dy;
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
    const top = Math.max(0, Math.floor(Math.min(ay, by) - radius));
    const right = Math.min(this.width, Math.ceil(Math.max(ax, bx) + radius));
    const bottom = Math.min(this.height, Math.ceil(Math.max(ay, by) + radius));
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const px = x + 0.5 - ax,
          py = y + 0.5 - ay;
        const share = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - share * dx,
          ey = py - share * dy;
        if (ex * ex + ey * ey <= radius * radius + 1e-9) this.pixels[y * this.width + x] = value;
      }
    }
    return { left, top, right, bottom };
  }

  // Fills the rectangle of all pixels between two pixels, both included.
  box(from, to, value = 1) {
    const left = Math.max(0, Math.min(Math.floor(from.x), Math.floor(to.x)));
    const top = Math.max(0, Math.min(Math.floor(from.y), Math.floor(to.y)));
    const right = Math.min(this.width, Math.max(Math.floor(from.x), Math.floor(to.x)) + 1);
    const bottom = Math.min(this.height, Math.max(Math.floor(from.y), Math.floor(to.y)) + 1);
    for (let y = top; y < bottom; y++)
      this.pixels.fill(value, y * this.width + left, y * this.width + Math.max(left, right));
    return { left, top, right, bottom };
  }

  invert() {
    for (let i = 0; i < this.pixels.length; i++) this.pixels[i] ^= 1;
  }

  clear() {
    this.pixels.fill(0);
  }
}
