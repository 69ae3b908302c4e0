// Builds what can be seen: the textured model, the dense cloud, the cameras. World frame: z up.

import {
  BufferAttribute, BufferGeometry, CanvasTexture, Color, DirectionalLight, DoubleSide, Group, HemisphereLight,
  LineBasicMaterial, LineSegments, LinearFilter, LinearMipmapLinearFilter, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, NoColorSpace, Points, PointsMaterial, Texture,
} from 'three';
import { readImage } from './data.js';

function textureOf(image, anisotropy) {
  const texture = new Texture(image);
  texture.flipY = false; // texture coordinates count from the top, as glTF's
  texture.colorSpace = NoColorSpace; // every colour goes to the screen as it is
  texture.minFilter = LinearMipmapLinearFilter;
  texture.magFilter = LinearFilter;
  texture.anisotropy = anisotropy;
  texture.needsUpdate = true;
  return texture;
}

/** The model: one mesh per atlas page, each with a textured and a plain material. */
export async function buildModel(scene, anisotropy, textureLimit, onPage) {
  const group = new Group();
  const plain = new MeshLambertMaterial({ color: 0xd2d5da, flatShading: true, side: DoubleSide });
  for (let page = 0; page < scene.pages; page++) {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(scene.array(`page${page}.position`), 3));
    geometry.setAttribute('uv', new BufferAttribute(scene.array(`page${page}.uv`), 2, true));
    geometry.setIndex(new BufferAttribute(scene.array(`page${page}.index`), 1));
    geometry.computeBoundingSphere();
    const map = textureOf(await readImage(`page-${page}`, textureLimit), anisotropy);
    const textured = new MeshBasicMaterial({ map, side: DoubleSide });
    const mesh = new Mesh(geometry, textured);
    mesh.userData = { textured, plain };
    group.add(mesh);
    onPage?.();
  }
  return group;
}

export function setShading(model, textured) {
  for (const mesh of model.children) mesh.material = textured ? mesh.userData.textured : mesh.userData.plain;
}

/** Lights matter to the plain material only. They turn with the camera, so that no side is dark. */
export function buildHeadlight() {
  const group = new Group();
  const key = new DirectionalLight(0xffffff, 2.0);
  key.position.set(-0.6, 0.9, 1);
  group.add(key, key.target, new HemisphereLight(0xffffff, 0x8a8f99, 1.3));
  return group;
}

export const FIELD_OF_VIEW = 45; // degrees, across the height

/** three.js takes the size of points for a field of view of 90 degrees. */
export function pointSize(scene, factor) {
  return scene.point_size * factor / Math.tan(FIELD_OF_VIEW * Math.PI / 360);
}

/** The dense cloud, as round points. */
export function buildCloud(scene) {
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(scene.array('cloud.position'), 3));
  geometry.setAttribute('color', new BufferAttribute(scene.array('cloud.color'), 3, true));
  const material = new PointsMaterial({ vertexColors: true, size: pointSize(scene, 1), sizeAttenuation: true });
  material.onBeforeCompile = (shader) => {
    shader.fragmentShader = shader.fragmentShader.replace(
      '#include <map_particle_fragment>',
      'if (distance(gl_PointCoord, vec2(0.5)) > 0.5) discard;',
    );
  };
  return new Points(geometry, material);
}

/** Frusta with the photos on their image planes; `photo.corners` are the four corners, from the top-left clockwise. */
export async function buildCameras(scene, textureLimit) {
  const group = new Group();
  const photos = scene.photos;
  const lines = [];
  const quads = new Float32Array(photos.length * 12);
  const uvs = new Float32Array(photos.length * 8);
  const index = [];
  photos.forEach(({ center, corners, tile }, i) => {
    corners.forEach((corner, c) => {
      lines.push(...center, ...corner, ...corner, ...corners[(c + 1) % 4]);
      quads.set(corner, i * 12 + c * 3);
    });
    const [left, top, right, bottom] = tile;
    uvs.set([left, top, right, top, right, bottom, left, bottom], i * 8);
    index.push(i * 4, i * 4 + 1, i * 4 + 2, i * 4, i * 4 + 2, i * 4 + 3);
  });

  const frusta = new BufferGeometry();
  frusta.setAttribute('position', new BufferAttribute(new Float32Array(lines), 3));
  const wires = new LineSegments(frusta, new LineBasicMaterial({ color: new Color(0xff9d2e) }));

  const sheet = await readImage('photo-sheet', textureLimit);
  const canvas = document.createElement('canvas'); // kept, so that a single photo can be cut out of it
  canvas.width = sheet.width;
  canvas.height = sheet.height;
  canvas.getContext('2d').drawImage(sheet, 0, 0);
  const texture = new CanvasTexture(canvas);
  texture.flipY = false;
  texture.colorSpace = NoColorSpace;
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(quads, 3));
  geometry.setAttribute('uv', new BufferAttribute(uvs, 2));
  geometry.setIndex(index);
  const pictures = new Mesh(geometry, new MeshBasicMaterial({
    map: texture, side: DoubleSide, transparent: true, opacity: 0.92,
  }));

  const chosen = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ color: 0x36c5f0 }));
  chosen.visible = false;
  group.add(wires, pictures, chosen);
  group.userData = {
    pictures,
    photoOfFace: (face) => Math.floor(face / 2),
    choose(i) {
      chosen.visible = i !== null;
      if (i === null) return;
      const position = frusta.getAttribute('position').array.slice(i * 48, (i + 1) * 48);
      chosen.geometry.setAttribute('position', new BufferAttribute(position, 3));
    },
    picture(i, target) {
      const [left, top, right, bottom] = photos[i].tile;
      const [x, y] = [left * canvas.width, top * canvas.height];
      const [w, h] = [(right - left) * canvas.width, (bottom - top) * canvas.height];
      target.width = w;
      target.height = h;
      target.getContext('2d').drawImage(canvas, x, y, w, h, 0, 0, w, h);
    },
  };
  return group;
}
