// Lengths: the two picked points with their line, the unit, and the scale bar.

import { Vector3 } from 'three';

const SVG = 'http://www.w3.org/2000/svg';

/** Lengths in metres once the scale is known (by GPS, or because somebody typed a true length), else in units. */
export class Scale {
  constructor(metric) {
    this.metresPerUnit = metric ? 1 : null;
  }

  get known() {
    return this.metresPerUnit !== null;
  }

  text(length) {
    if (!this.known) return `${significant(length)} units`;
    const metres = length * this.metresPerUnit;
    if (metres >= 1000) return `${significant(metres / 1000)} km`;
    if (metres >= 1) return `${significant(metres)} m`;
    if (metres >= 0.01) return `${significant(metres * 100)} cm`;
    return `${significant(metres * 1000)} mm`;
  }
}

function significant(value) {
  if (Math.abs(value) < 5e-7) return '0'; // six digits would be zeros
  const digits = Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}

/** A round length (1, 2 or 5 times a power of ten) not longer than `longest`. */
export function roundLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return [5, 2, 1].find((factor) => factor * power <= longest) * power;
}

/** Two points and their distance, drawn over the picture. */
export class Ruler {
  constructor(overlay, label, scale) {
    this.overlay = overlay;
    this.label = label;
    this.scale = scale;
    this.points = [];
    this.line = overlay.appendChild(document.createElementNS(SVG, 'line'));
    this.dots = [0, 1].map(() => {
      const dot = overlay.appendChild(document.createElementNS(SVG, 'circle'));
      dot.setAttribute('r', 5);
      return dot;
    });
  }

  get length() {
    return this.points.length === 2 ? this.points[0].distanceTo(this.points[1]) : null;
  }

  /** How much higher one point lies than the other. */
  get rise() {
    return Math.abs(this.points[0].z - this.points[1].z);
  }

  add(point) {
    if (this.points.length === 2) this.points = [];
    this.points.push(point.clone());
  }

  clear() {
    this.points = [];
  }

  /** Called with every frame: where the points are on the screen now. */
  draw(camera, width, height) {
    const screen = this.points.map((point) => {
      const p = new Vector3().copy(point).project(camera);
      return { x: (p.x + 1) / 2 * width, y: (1 - p.y) / 2 * height, shown: p.z > -1 && p.z < 1 };
    });
    this.dots.forEach((dot, i) => {
      const p = screen[i];
      dot.style.display = p?.shown ? '' : 'none';
      if (p) {
        dot.setAttribute('cx', p.x);
        dot.setAttribute('cy', p.y);
      }
    });
    const both = screen.length === 2 && screen[0].shown && screen[1].shown;
    this.line.style.display = both ? '' : 'none';
    this.label.hidden = !both;
    if (!both) return;
    const [a, b] = screen;
    for (const [name, value] of Object.entries({ x1: a.x, y1: a.y, x2: b.x, y2: b.y })) this.line.setAttribute(name, value);
    this.label.style.left = `${(a.x + b.x) / 2}px`;
    this.label.style.top = `${Math.min(a.y, b.y)}px`; // above both points: it hides neither
    this.label.textContent = this.scale.text(this.length);
  }
}
