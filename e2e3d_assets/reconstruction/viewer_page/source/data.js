// Reads the numbers and pictures that the page carries in its own <script> elements.

const ARRAY_TYPES = { float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array };

function bytesOf(elementId) {
  const element = document.getElementById(elementId);
  const text = atob(element.textContent.trim());
  element.remove(); // the text is large and is not needed again
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

/** Numbers as delivery/packed_numbers.py codes them: differences along each component, folded, in planes of bytes. */
function unpacked(bytes, { type, offset, planes, rows, width, origin, step }) {
  const count = rows * width;
  const numbers = new ARRAY_TYPES[type](count);
  for (let component = 0, at = offset; component < width; component++) {
    let whole = 0;
    for (let row = 0; row < rows; row++, at++) {
      let folded = 0;
      for (let plane = 0; plane < planes; plane++) folded |= bytes[at + plane * count] << (8 * plane);
      whole += (folded >>> 1) ^ -(folded & 1);
      numbers[row * width + component] = step ? origin[component] + whole * step : whole;
    }
  }
  return numbers;
}

/** The scene's description, with `array(name)` for its numbers. */
export async function readScene() {
  const scene = JSON.parse(document.getElementById('scene').textContent);
  const bytes = new Uint8Array(await inflate(bytesOf('numbers')));
  scene.array = (name) => unpacked(bytes, scene.arrays[name]);
  return scene;
}

/** The picture in an element, no larger than `limit` pixels a side. */
export async function readImage(elementId, limit) {
  const blob = new Blob([bytesOf(elementId)], { type: 'image/jpeg' });
  const image = await createImageBitmap(blob);
  const scale = limit / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const smaller = await createImageBitmap(image, {
    resizeWidth: Math.round(image.width * scale), resizeHeight: Math.round(image.height * scale), resizeQuality: 'high',
  });
  image.close();
  return smaller;
}
