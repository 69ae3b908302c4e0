// Bundles the viewer's script into ../viewer.min.js. Its first line names the sources, so that a test can tell a stale
// bundle from a fresh one.

import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { build } from 'esbuild';

const SOURCES = ['data.js', 'layers.js', 'main.js', 'measure.js', 'package-lock.json'];

const hash = createHash('sha256');
for (const name of SOURCES) hash.update(readFileSync(name));

await build({
  entryPoints: ['main.js'],
  outfile: '../viewer.min.js',
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  legalComments: 'none',
  banner: { js: `// sources: ${hash.digest('hex')}` },
});
copyFileSync('node_modules/three/LICENSE', '../THREE_LICENSE.txt');
