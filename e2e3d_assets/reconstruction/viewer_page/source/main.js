// The page's behaviour: sets the scene up, reacts to buttons, keys, clicks and touches, draws only when something changed.

import { LinearSRGBColorSpace, PerspectiveCamera, Raycaster, Scene, Vector2, Vector3, WebGLRenderer } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { readScene } from './data.js';
import { FIELD_OF_VIEW, buildCameras, buildCloud, buildHeadlight, buildModel, pointSize, setShading } from './layers.js';
import { Ruler, Scale, roundLength } from './measure.js';

const CLICK_PIXELS = 6; // a pointer that moves less between down and up has clicked
const FLIGHT_MS = 600;
const SCALE_BAR_PIXELS = 140;
const STEP_BACK = 1.15; // times the distance
const MOST_STEPS_BACK = 12;
const MOST_CAMERAS = 0.8; // share that should be seen once cameras are shown
const PHONE_TEXTURE = 2048; // larger pages may not fit into a phone's memory, and its screen does not show them

const element = (id) => document.getElementById(id);
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)').matches;

function fail(message) {
  element('loading').hidden = false;
  element('loading').classList.add('failed');
  element('loading-text').textContent = message;
}

function startRenderer(canvas) {
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: false });
  renderer.outputColorSpace = LinearSRGBColorSpace; // no conversion: photos' colours reach the screen unchanged
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  return renderer;
}

async function start() {
  let renderer;
  try {
    renderer = startRenderer(element('canvas'));
  } catch {
    fail('This browser cannot draw 3D (WebGL is off or missing). Open the page in a current Firefox, Chrome, Edge or Safari.');
    return;
  }
  if (typeof DecompressionStream === 'undefined') {
    fail('This browser is too old for this page. Open it in a current Firefox, Chrome, Edge or Safari.');
    return;
  }
  const data = await readScene();
  const anisotropy = Math.min(8, renderer.capabilities.getMaxAnisotropy());
  const phone = matchMedia('(pointer: coarse) and (max-width: 900px)').matches;
  const textureLimit = Math.min(renderer.capabilities.maxTextureSize, phone ? PHONE_TEXTURE : Infinity);
  let pages = 0;
  const layers = {
    model: await buildModel(data, anisotropy, textureLimit, () => {
      element('loading-bar').style.width = `${Math.round(++pages / (data.pages + 1) * 100)}%`;
    }),
    cloud: buildCloud(data),
    cameras: await buildCameras(data, textureLimit),
  };
  const page = new Page(renderer, data, layers);
  element('loading').hidden = true;
  document.documentElement.dataset.ready = 'true';
  window.viewer = page; // for tests and for the curious
}

class Page {
  constructor(renderer, data, layers) {
    this.renderer = renderer;
    this.data = data;
    this.layers = layers;
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 1000);
    this.camera.up.set(0, 0, 1);
    this.camera.add(buildHeadlight());
    this.scene.add(this.camera, ...Object.values(layers));
    this.raycaster = new Raycaster();
    this.scale = new Scale(data.metric);
    this.ruler = new Ruler(element('overlay'), element('ruler-label'), this.scale);
    this.measuring = false;
    this.textured = true;
    this.chosen = null;
    this.flight = null;
    this.frame = null;

    this.controls = new OrbitControls(this.camera, renderer.domElement);
    Object.assign(this.controls, {
      enableDamping: true, dampingFactor: 0.12, zoomToCursor: true, screenSpacePanning: true,
      minDistance: data.radius * 0.005, maxDistance: data.radius * 30,
    });
    this.controls.addEventListener('change', () => this.draw());

    this.show('cloud', false);
    this.show('cameras', false);
    this.show('model', true);
    this.bindButtons();
    this.bindPointer();
    new ResizeObserver(() => this.resize()).observe(element('stage'));
    renderer.domElement.addEventListener('webglcontextlost', () => fail('The graphics card gave up. Reload the page.'));
    this.resize();
    this.home(true);
  }

  // --- what is shown ---

  show(name, visible) {
    this.layers[name].visible = visible;
    element(`show-${name}`).setAttribute('aria-pressed', visible);
    if (name === 'cloud') element('point-size').hidden = !visible;
    if (name === 'cameras' && !visible) this.choosePhoto(null);
    this.draw();
  }

  toggle(name) {
    this.show(name, !this.layers[name].visible);
    if (name === 'cameras' && this.layers.cameras.visible) this.stepBackToCameras();
  }

  shade(textured) {
    this.textured = textured;
    setShading(this.layers.model, textured);
    element('shading').setAttribute('aria-pressed', !textured);
    if (!this.layers.model.visible) this.show('model', true);
    this.draw();
  }

  choosePhoto(i) {
    this.chosen = i;
    this.layers.cameras.userData.choose(i);
    element('photo').hidden = i === null;
    if (i !== null) {
      element('photo-name').textContent = this.data.photos[i].name;
      this.layers.cameras.userData.picture(i, element('photo-picture'));
    }
    this.draw();
  }

  // --- moving about ---

  home(atOnce = false) {
    const center = new Vector3(...this.data.center);
    const direction = new Vector3(...this.data.view_direction).normalize();
    if (this.data.inside) {
      this.fly(center, center.clone().addScaledVector(direction, -0.3 * this.data.radius), atOnce);
      return;
    }
    const half = Math.tan(this.camera.fov * Math.PI / 360) * Math.min(1, this.camera.aspect);
    const distance = this.data.radius / half * 1.05;
    this.fly(center.clone().addScaledVector(direction, distance), center, atOnce);
  }

  /** Cameras stand behind whoever looks at the model as they did: goes back until most can be seen. */
  stepBackToCameras() {
    const away = this.camera.position.clone().sub(this.controls.target);
    const probe = this.camera.clone();
    const shown = () => this.data.photos.filter(({ center }) => {
      const p = new Vector3(...center).project(probe);
      return Math.abs(p.x) < 1 && Math.abs(p.y) < 1 && p.z < 1;
    }).length;
    for (let step = 0; step < MOST_STEPS_BACK; step++) {
      if (shown() >= MOST_CAMERAS * this.data.photos.length) break;
      away.multiplyScalar(STEP_BACK);
      probe.position.copy(this.controls.target).add(away);
      probe.far = away.length() + this.data.far;
      probe.updateProjectionMatrix();
      probe.updateMatrixWorld();
    }
    this.fly(probe.position, this.controls.target.clone());
  }

  viewFromPhoto(i) {
    const position = new Vector3(...this.data.photos[i].center);
    const forward = new Vector3(...this.data.photos[i].forward);
    const depth = Math.max(new Vector3(...this.data.center).sub(position).dot(forward), this.data.radius * 0.1);
    this.fly(position, position.clone().addScaledVector(forward, depth));
  }

  fly(position, target, atOnce = false) {
    this.controls.enableDamping = false; // an update without damping ends what a drag had set in motion
    this.controls.update();
    this.controls.enableDamping = true;
    if (atOnce || reducedMotion) {
      this.camera.position.copy(position);
      this.controls.target.copy(target);
      this.controls.update();
      this.draw();
      return;
    }
    this.flight = {
      start: performance.now(),
      from: [this.camera.position.clone(), this.controls.target.clone()],
      to: [position, target],
    };
    this.draw();
  }

  stepFlight(now) {
    const t = Math.min(1, (now - this.flight.start) / FLIGHT_MS);
    const eased = t * t * (3 - 2 * t);
    this.camera.position.lerpVectors(this.flight.from[0], this.flight.to[0], eased);
    this.controls.target.lerpVectors(this.flight.from[1], this.flight.to[1], eased);
    if (t === 1) this.flight = null;
  }

  // --- drawing ---

  draw() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = null;
      if (this.flight) this.stepFlight(Math.max(now, this.flight.start));
      const moving = this.controls.update();
      const distance = this.camera.position.distanceTo(this.controls.target);
      this.camera.near = Math.max(distance * 0.005, this.data.radius * 1e-4);
      this.camera.far = distance + this.data.far;
      this.camera.updateProjectionMatrix();
      this.camera.updateMatrixWorld();
      this.renderer.render(this.scene, this.camera);
      this.ruler.draw(this.camera, this.width, this.height);
      this.drawScaleBar();
      if (moving || this.flight) this.draw();
    });
  }

  drawScaleBar() {
    element('scale-bar').hidden = !this.scale.known;
    if (!this.scale.known) return;
    const metresPerPixel = this.unitsPerPixel(this.camera.position.distanceTo(this.controls.target)) * this.scale.metresPerUnit;
    const metres = roundLength(metresPerPixel * SCALE_BAR_PIXELS);
    element('scale-bar').style.width = `${metres / metresPerPixel}px`;
    element('scale-text').textContent = this.scale.text(metres / this.scale.metresPerUnit).replace(/\.0+(?= )/, '');
  }

  unitsPerPixel(distance) {
    return 2 * distance * Math.tan(this.camera.fov * Math.PI / 360) / this.height;
  }

  resize() {
    const { clientWidth, clientHeight } = element('stage');
    [this.width, this.height] = [Math.max(1, clientWidth), Math.max(1, clientHeight)];
    this.renderer.setSize(this.width, this.height, false);
    this.camera.aspect = this.width / this.height;
    this.draw();
  }

  // --- picking ---

  pick(event, objects) {
    const box = this.renderer.domElement.getBoundingClientRect();
    const at = new Vector2((event.clientX - box.left) / box.width * 2 - 1, 1 - (event.clientY - box.top) / box.height * 2);
    this.raycaster.setFromCamera(at, this.camera);
    const pixels = 3 * this.unitsPerPixel(this.camera.position.distanceTo(this.controls.target));
    this.raycaster.params.Points.threshold = Math.max(pixels, this.data.point_size); // no gaps between points to fall into
    return this.raycaster.intersectObjects(objects.filter((object) => object.visible), true)[0] ?? null;
  }

  pickSurface(event) {
    return this.pick(event, [this.layers.model]) ?? this.pick(event, [this.layers.cloud]);
  }

  click(event) {
    if (this.measuring) {
      const hit = this.pickSurface(event);
      if (hit) this.ruler.add(hit.point);
      this.sayMeasure(!hit);
      this.draw();
      return;
    }
    if (!this.layers.cameras.visible) return;
    const { pictures, photoOfFace } = this.layers.cameras.userData;
    const photo = this.pick(event, [pictures]);
    const surface = this.pickSurface(event);
    const inFront = photo && !(surface && surface.distance < photo.distance);
    this.choosePhoto(inFront ? photoOfFace(photo.faceIndex) : null);
  }

  measure(on) {
    this.measuring = on;
    element('measure').setAttribute('aria-pressed', on);
    element('measure-panel').hidden = !on;
    this.renderer.domElement.classList.toggle('measuring', on);
    this.ruler.clear();
    this.sayMeasure();
    this.draw();
  }

  sayMeasure(missed = false) {
    const { length } = this.ruler;
    const count = this.ruler.points.length;
    element('set-scale').hidden = length === null;
    element('measure-text').textContent = missed
      ? 'Nothing there: click on the model.'
      : length !== null ? `Distance: ${this.scale.text(length)} · height: ${this.scale.text(this.ruler.rise)}` : count ? 'Click the second point.' : 'Click the first point.';
    element('scale-note').textContent = this.scale.known
      ? '' : 'The scale is unknown: lengths are in the model’s own unit. Type a true length to set it.';
  }

  setTrueLength() {
    const metres = Number.parseFloat(element('true-length').value.replace(',', '.'));
    const { length } = this.ruler;
    if (!(metres > 0) || !(length > 0)) return;
    this.scale.metresPerUnit = metres / length;
    this.sayMeasure();
    this.draw();
  }

  // --- reacting ---

  bindButtons() {
    const actions = {
      'show-model': () => this.toggle('model'),
      'show-cloud': () => this.toggle('cloud'),
      'show-cameras': () => this.toggle('cameras'),
      shading: () => this.shade(!this.textured),
      measure: () => this.measure(!this.measuring),
      home: () => this.home(),
      'full-screen': () => this.fullScreen(),
      'photo-close': () => this.choosePhoto(null),
      'photo-view': () => this.viewFromPhoto(this.chosen),
      'photo-previous': () => this.choosePhoto((this.chosen + this.data.photos.length - 1) % this.data.photos.length),
      'photo-next': () => this.choosePhoto((this.chosen + 1) % this.data.photos.length),
    };
    for (const [id, action] of Object.entries(actions)) element(id).addEventListener('click', action);
    element('full-screen').hidden = !document.fullscreenEnabled;
    element('set-scale').addEventListener('submit', (event) => {
      event.preventDefault();
      this.setTrueLength();
    });
    element('point-size-input').addEventListener('input', (event) => {
      this.layers.cloud.material.size = pointSize(this.data, 2 ** Number(event.target.value));
      this.draw();
    });
    const keys = {
      1: actions['show-model'], 2: actions['show-cloud'], 3: actions['show-cameras'], s: actions.shading,
      m: actions.measure, h: actions.home, f: actions['full-screen'],
      Escape: () => (this.measuring ? this.measure(false) : this.choosePhoto(null)),
    };
    addEventListener('keydown', (event) => {
      if (event.target.matches('input') || event.ctrlKey || event.metaKey || event.altKey) return;
      keys[event.key]?.();
    });
  }

  bindPointer() {
    const canvas = this.renderer.domElement;
    let down = null;
    canvas.addEventListener('pointerdown', (event) => {
      down = event.isPrimary ? event : null; // a second finger means zoom, not a click
      this.flight = null;
    });
    canvas.addEventListener('pointerup', (event) => {
      if (!down || event.button !== 0) return;
      const moved = Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY);
      down = null;
      if (moved < CLICK_PIXELS) this.click(event);
    });
    canvas.addEventListener('dblclick', (event) => {
      const hit = !this.measuring && this.pickSurface(event);
      if (!hit) return;
      const shift = hit.point.clone().sub(this.controls.target);
      this.fly(this.camera.position.clone().add(shift), hit.point);
    });
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen();
  }
}

start().catch((error) => fail(`The page could not be shown: ${error.message}`));
