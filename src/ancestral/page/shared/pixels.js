// Pictures as pixels.

/** The picture of a file, whose colours are neither converted nor multiplied by its transparency. */
export const pictureOf = file => createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });

/** The pixels of a picture {width, height, data: RGBA}, brought to a size. */
export function pixelsOf(picture, width, height) {
  const drawing = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  drawing.drawImage(picture, 0, 0, width, height);
  return drawing.getImageData(0, 0, width, height);
}

/** The luma of a colour by ITU-R 601, as Pillow rounds it. */
export const luma = ([r, g, b]) => (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
