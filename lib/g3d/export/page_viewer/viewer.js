// Turns scenes: splats by the projection of their covariances, drawn far to near; meshes by their triangles. WebGL 2, no library.
"use strict";
const SPLAT = {
  vertex: `#version 300 es
    precision highp float;
    uniform mat4 view; uniform vec2 focal, size; uniform vec2 limit;
    in vec2 corner; in vec3 mean; in vec3 covA; in vec3 covB; in vec4 rgba;
    out vec2 at; out vec4 colour;
    void main() {
      vec3 p = (view * vec4(mean, 1.0)).xyz;               // x right, y down, z forward
      gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
      if (p.z < 0.01) return;
      mat3 V = mat3(covA.x, covA.y, covA.z, covA.y, covB.x, covB.y, covA.z, covB.y, covB.z);
      vec2 t = clamp(p.xy / p.z, -limit, limit) * p.z;
      mat3 J = mat3(focal.x / p.z, 0.0, 0.0, 0.0, focal.y / p.z, 0.0,
                    -focal.x * t.x / (p.z * p.z), -focal.y * t.y / (p.z * p.z), 0.0);
      mat3 T = J * mat3(view);
      mat3 C = T * V * transpose(T);
      float a = C[0][0] + 0.3, b = C[0][1], c = C[1][1] + 0.3;  // pixels squared
      float middle = 0.5 * (a + c), apart = sqrt(max(0.25 * (a - c) * (a - c) + b * b, 1e-12));
      float big = middle + apart, small = max(middle - apart, 0.05);
      vec2 axis = abs(b) > 1e-6 ? normalize(vec2(b, big - a)) : (a >= c ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
      float reach = sqrt(2.0 * log(max(rgba.a * 255.0, 1.001)));  // where an alpha of 1/255 lies
      vec2 offset = corner.x * reach * sqrt(big) * axis + corner.y * reach * sqrt(small) * vec2(-axis.y, axis.x);
      vec2 pixel = focal * p.xy / p.z + offset;
      gl_Position = vec4(2.0 * pixel.x / size.x, -2.0 * pixel.y / size.y, 0.0, 1.0);
      at = corner * reach; colour = rgba;
    }`,
  fragment: `#version 300 es
    precision highp float;
    in vec2 at; in vec4 colour; out vec4 pixel;
    void main() {
      float alpha = min(colour.a * exp(-0.5 * dot(at, at)), 0.999);
      if (alpha < 1.0 / 255.0) discard;
      pixel = vec4(colour.rgb * alpha, alpha);
    }`,
};
const MESH = {
  vertex: `#version 300 es
    precision highp float;
    uniform mat4 view; uniform vec2 focal, size; uniform vec2 depth;
    in vec3 mean; in vec3 rgb; in vec3 normal; out vec3 colour, at, outward;
    void main() {
      vec3 p = (view * vec4(mean, 1.0)).xyz;
      at = p; outward = mat3(view) * (normal * 255.0 - 128.0);
      float z = (p.z * (depth.y + depth.x) - 2.0 * depth.x * depth.y) / (depth.y - depth.x);
      gl_Position = vec4(2.0 * focal.x * p.x / size.x, -2.0 * focal.y * p.y / size.y, z, p.z);
      colour = rgb;
    }`,
  fragment: `#version 300 es
    precision highp float;
    uniform bool lit;
    in vec3 colour, at, outward; out vec4 pixel;
    void main() {  // lit: by a light at the camera, as render's solids
      float facing = lit ? clamp(-dot(normalize(outward), normalize(at)), 0.0, 1.0) : 1.0;
      pixel = vec4(colour * (0.35 + 0.65 * facing), 1.0);
    }`,
};
const canvas = document.getElementById("view"), note = document.getElementById("note");
const scenes = JSON.parse(document.getElementById("scenes").textContent);
const gl = canvas.getContext("webgl2", {antialias: true, preserveDrawingBuffer: true});
const TYPES = {float32: Float32Array, uint8: Uint8Array, int32: Int32Array};
let current = 0, pose = null, drawable = null, dirty = true, order = null, sortedFor = null;

async function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.data), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new TYPES[packed.type](await new Response(stream).arrayBuffer());
}
function program(source) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, source.vertex], [gl.FRAGMENT_SHADER, source.fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text); gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}
function attribute(which, name, size, type, stride, offset, each, normal) {
  const place = gl.getAttribLocation(which, name);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, type, normal, stride, offset);
  gl.vertexAttribDivisor(place, each);
}
function filled(target, data) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(target, buffer); gl.bufferData(target, data, gl.DYNAMIC_DRAW);
  return buffer;
}
function splats(arrays) {
  const {means, cov, rgba} = arrays, count = means.length / 3, which = program(SPLAT), vao = gl.createVertexArray();
  gl.bindVertexArray(vao);
  filled(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]));
  attribute(which, "corner", 2, gl.FLOAT, 0, 0, 0, false);
  const rows = new ArrayBuffer(40 * count), floats = new Float32Array(rows), bytes = new Uint8Array(rows);
  const buffer = filled(gl.ARRAY_BUFFER, rows);
  attribute(which, "mean", 3, gl.FLOAT, 40, 0, 1, false);
  attribute(which, "covA", 3, gl.FLOAT, 40, 12, 1, false);
  attribute(which, "covB", 3, gl.FLOAT, 40, 24, 1, false);
  attribute(which, "rgba", 4, gl.UNSIGNED_BYTE, 40, 36, 1, true);
  const depths = new Float32Array(count);
  order = new Uint32Array(count).map((_, i) => i); sortedFor = null;
  return {which, vao, draw(view) {
    const way = [view[2], view[6], view[10]];
    if (sortedFor === null || way.some((x, i) => Math.abs(x - sortedFor[i]) > 0.01)) {  // turned: far ones first
      for (let i = 0; i < count; i++) depths[i] = way[0] * means[3 * i] + way[1] * means[3 * i + 1] + way[2] * means[3 * i + 2];
      order.sort((a, b) => depths[b] - depths[a] || b - a);
      for (let k = 0; k < count; k++) {
        const i = order[k];
        for (let j = 0; j < 3; j++) floats[10 * k + j] = means[3 * i + j];
        for (let j = 0; j < 6; j++) floats[10 * k + 3 + j] = cov[6 * i + j];
        for (let j = 0; j < 4; j++) bytes[40 * k + 36 + j] = rgba[4 * i + j];
      }
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferSubData(gl.ARRAY_BUFFER, 0, rows);
      sortedFor = way;
    }
    gl.disable(gl.DEPTH_TEST); gl.enable(gl.BLEND); gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
  }};
}
function mesh(arrays) {
  const which = program(MESH), vao = gl.createVertexArray(), count = arrays.faces.length;
  gl.bindVertexArray(vao);
  filled(gl.ARRAY_BUFFER, arrays.vertices); attribute(which, "mean", 3, gl.FLOAT, 0, 0, 0, false);
  filled(gl.ARRAY_BUFFER, arrays.rgb); attribute(which, "rgb", 3, gl.UNSIGNED_BYTE, 0, 0, 0, true);
  if (arrays.normals) {
    filled(gl.ARRAY_BUFFER, arrays.normals); attribute(which, "normal", 3, gl.UNSIGNED_BYTE, 0, 0, 0, true);
  }
  filled(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(arrays.faces));
  return {which, vao, draw() {
    gl.uniform1i(gl.getUniformLocation(which, "lit"), arrays.normals ? 1 : 0);
    gl.enable(gl.DEPTH_TEST); gl.disable(gl.BLEND);
    gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, 0);
  }};
}
function camera() {  // world => camera, column by column; x right, y down, z forward
  const a = pose.azimuth * Math.PI / 180, e = pose.elevation * Math.PI / 180;
  const back = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
  const right = [Math.cos(a), 0, -Math.sin(a)];
  const forward = back.map(x => -x);
  const down = [forward[1] * right[2] - forward[2] * right[1], forward[2] * right[0] - forward[0] * right[2],
                forward[0] * right[1] - forward[1] * right[0]];
  const eye = back.map((x, i) => pose.target[i] + pose.radius * x);
  const rows = [right, down, forward], view = new Float32Array(16);
  rows.forEach((row, r) => {
    for (let c = 0; c < 3; c++) view[4 * c + r] = row[c];
    view[12 + r] = -(row[0] * eye[0] + row[1] * eye[1] + row[2] * eye[2]);
  });
  view[15] = 1;
  return view;
}
function draw() {
  requestAnimationFrame(draw);
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio)), height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; dirty = true; }
  if (!dirty || !drawable) return;
  dirty = false;
  const side = Math.min(width, height), focal = 0.5 * side / Math.tan(pose.fov * Math.PI / 360), view = camera();
  gl.viewport(0, 0, width, height);
  gl.clearColor(...scenes[current].background, 1); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.useProgram(drawable.which); gl.bindVertexArray(drawable.vao);
  const place = name => gl.getUniformLocation(drawable.which, name);
  gl.uniformMatrix4fv(place("view"), false, view);
  gl.uniform2f(place("focal"), focal, focal); gl.uniform2f(place("size"), width, height);
  gl.uniform2f(place("limit"), 0.65 * width / focal, 0.65 * height / focal);
  gl.uniform2f(place("depth"), 0.01 * pose.radius, 100 * pose.radius);
  drawable.draw(view);
  canvas.dataset.drawn = String(1 + Number(canvas.dataset.drawn || 0));
}
function place(s) { return JSON.stringify([s.radius_world, s.target, s.fov_deg]); }  // where it is looked at from, but for the angles
function reset() {
  const s = scenes[current];
  pose = {azimuth: s.azimuth_deg, elevation: s.elevation_deg, radius: s.radius_world, target: s.target, fov: s.fov_deg,
          of: place(s)};
  dirty = true;
}
async function show(number) {
  current = (number + scenes.length) % scenes.length;
  const asked = current, scene = scenes[current], arrays = {};
  document.getElementById("name").textContent = `${scene.name} (${current + 1} of ${scenes.length})`;
  for (const name of Object.keys(scene.arrays)) arrays[name] = await unpacked(scene.arrays[name]);
  if (asked !== current) return;
  drawable = scene.kind === "splats" ? splats(arrays) : mesh(arrays);
  if (!pose || pose.of !== place(scene)) reset();  // else the new scene is seen from where the old one was
  dirty = true;
}
function turn(dx, dy) {
  pose.azimuth -= 0.4 * dx; pose.elevation = Math.max(-89.9, Math.min(89.9, pose.elevation + 0.4 * dy)); dirty = true;
}
function zoom(factor) { pose.radius *= factor; dirty = true; }
const held = new Map();
canvas.addEventListener("pointerdown", e => { held.set(e.pointerId, [e.clientX, e.clientY]); canvas.setPointerCapture(e.pointerId); });
canvas.addEventListener("pointermove", e => {
  const before = held.get(e.pointerId);
  if (!before || !pose) return;
  if (held.size === 2) {
    const other = [...held].find(([id]) => id !== e.pointerId)[1];
    zoom(Math.hypot(before[0] - other[0], before[1] - other[1]) / Math.max(1, Math.hypot(e.clientX - other[0], e.clientY - other[1])));
  } else turn(e.clientX - before[0], e.clientY - before[1]);
  held.set(e.pointerId, [e.clientX, e.clientY]);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, e => held.delete(e.pointerId));
canvas.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(0.001 * e.deltaY)); }, {passive: false});
canvas.addEventListener("dblclick", reset);
addEventListener("keydown", e => {
  const steps = {ArrowLeft: [-20, 0], ArrowRight: [20, 0], ArrowUp: [0, 20], ArrowDown: [0, -20]}[e.key];
  if (steps) turn(...steps); else if (e.key === "+") zoom(0.9); else if (e.key === "-") zoom(1 / 0.9);
  else if (e.key === "n") show(current + 1); else if (e.key === "p") show(current - 1);
});
document.getElementById("before").onclick = () => show(current - 1);
document.getElementById("after").onclick = () => show(current + 1);
for (const button of document.querySelectorAll("#bar button")) button.hidden = scenes.length < 2;
if (!gl) note.textContent = "This browser has no WebGL 2, so the scenes cannot be drawn.";
else show(0).then(draw, error => { note.textContent = String(error); });
