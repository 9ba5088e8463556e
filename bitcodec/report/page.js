"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const pictures = JSON.parse($("data").textContent);
  const stage = $("stage"), viewer = $("viewer");
  const layers = { left: $("image-left"), right: $("image-right"), original: $("image-original") };
  const state = { picture: 0, size: 0, left: "", right: "", split: 0.5, zoom: 0, x: 0, y: 0, hold: false, pinned: false };
  const MAX_ZOOM = 16;
  let turn = 0; // of the newest update: an older one that decodes later must not report

  const picture = () => pictures[state.picture];
  const group = () => picture().sizes[state.size];
  const version = (side) => group()[1].find((v) => v.codec === state[side]);

  function fill(select, labels, chosen) {
    select.replaceChildren(...labels.map((label, i) => new Option(label, String(i), false, i === chosen)));
  }

  // Keep what was chosen where the new picture or size has it too.
  function settle() {
    state.size = Math.min(state.size, picture().sizes.length - 1);
    const names = group()[1].map((v) => v.codec);
    if (!names.includes(state.left)) state.left = names.find((n) => n !== state.right) ?? names[0];
    if (!names.includes(state.right)) state.right = names.find((n) => n !== state.left) ?? names[0];
    fill($("picture"), pictures.map((p) => p.name), state.picture);
    fill($("size"), picture().sizes.map((s) => s[0]), state.size);
    fill($("left"), names, names.indexOf(state.left));
    fill($("right"), names, names.indexOf(state.right));
  }

  function numbers() {
    const a = version("left"), b = version("right");
    for (const [side, v] of [["left", a], ["right", b]]) {
      $("name-" + side).textContent = v.codec;
      $("tag-" + side).textContent = v.codec;
      layers[side].alt = `${picture().name}, ${v.codec}, ${v.bytes} bytes`;
    }
    layers.original.alt = `${picture().name}, original`;
    const row = (name, x, y, p, q) => {
      const tr = document.createElement("tr");
      [name, x, y].forEach((content, i) => {
        const td = document.createElement("td");
        td.textContent = content;
        if (!i) td.className = "text";
        if ((i === 1 && p > q) || (i === 2 && q > p)) td.className = "better";
        tr.append(td);
      });
      return tr;
    };
    $("numbers").tBodies[0].replaceChildren(
      row("setting", a.setting, b.setting, 0, 0),
      row("bytes", a.bytes.toLocaleString("en"), b.bytes.toLocaleString("en"), 0, 0),
      row("bpp", a.bpp.toFixed(4), b.bpp.toFixed(4), 0, 0),
      ...a.scores.map(([title, text, rank], i) => row(title, text, b.scores[i][1], rank, b.scores[i][2])),
    );
    const p = picture();
    const notes = [`${p.width}×${p.height}`];
    if (p.shown_width < p.width || p.shown_height < p.height)
      notes.push(`the middle ${p.shown_width}×${p.shown_height} is shown, the figures are the whole picture's`);
    const more = (b.bytes / a.bytes - 1) * 100;
    const percent = (x) => (Math.abs(x) < 10 ? x.toFixed(1) : x.toFixed(0));
    notes.push(Math.abs(more) < 0.05 ? "the same file size"
      : `${b.codec}'s file is ${percent(Math.abs(more))} % ${more > 0 ? "larger" : "smaller"} than ${a.codec}'s`);
    $("status").textContent = notes.join(" · ");
    $("status").classList.toggle("unequal", Math.abs(more) > 5); // no comparison at equal size
  }

  async function update() {
    const mine = ++turn;
    viewer.dataset.state = "loading";
    settle();
    numbers();
    const sources = { left: version("left").uri, right: version("right").uri, original: picture().uri };
    try {
      await Promise.all(Object.entries(sources).map(([side, uri]) => {
        const image = layers[side];
        if (image.src !== uri) image.src = uri;
        return image.decode();
      }));
    } catch (error) {
      if (mine !== turn) return;
      viewer.dataset.state = "failed";
      $("status").textContent = "A picture could not be decoded.";
      console.error(error);
      return;
    }
    if (mine !== turn) return;
    place();
    viewer.dataset.state = "ready";
  }

  const fitScale = () => Math.min(stage.clientWidth / picture().shown_width, stageLimit() / picture().shown_height);
  const stageLimit = () => Math.max(200, window.innerHeight * 0.78);
  // Zoom counts screen pixels: at 1 a pixel of the picture is one of the screen.
  const scale = () => (state.zoom ? state.zoom / window.devicePixelRatio : fitScale());

  function place() {
    const p = picture(), k = scale();
    const height = Math.round(Math.min(stageLimit(), stage.clientWidth * p.shown_height / p.shown_width));
    stage.style.height = height + "px";
    const clamp = (offset, room) => (room >= 0 ? room / 2 : Math.min(0, Math.max(room, offset)));
    state.x = clamp(state.x, stage.clientWidth - p.shown_width * k);
    state.y = clamp(state.y, height - p.shown_height * k);
    // On whole screen pixels: half a pixel off, every one of the picture would be a mixture of two.
    const box = stage.getBoundingClientRect(), dpr = window.devicePixelRatio;
    const snap = (offset, origin) => Math.round((offset + origin) * dpr) / dpr - origin;
    const x = snap(state.x, box.left), y = snap(state.y, box.top);
    for (const image of Object.values(layers)) {
      image.style.transform = `translate(${x}px, ${y}px) scale(${k})`;
      image.classList.toggle("pixels", k * dpr >= 1);
    }
    const at = (state.split * 100).toFixed(2) + "%";
    $("clip-right").style.clipPath = `inset(0 0 0 ${at})`;
    $("divider").style.left = at;
    $("slider").value = String(state.split * 100);
    const original = state.hold || state.pinned;
    $("clip-original").hidden = !original;
    $("divider").hidden = original;
    $("tag-right").hidden = original;
    $("tag-left").textContent = original ? "original" : state.left;
    $("original").setAttribute("aria-pressed", String(original));
    stage.classList.toggle("zoomed", canPan());
    for (const button of document.querySelectorAll("[data-zoom]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === state.zoom));
  }

  const canPan = () => {
    const p = picture(), k = scale();
    return p.shown_width * k > stage.clientWidth + 1 || p.shown_height * k > stage.clientHeight + 1;
  };

  function setSplit(value) {
    state.split = Math.min(1, Math.max(0, value));
    place();
  }

  // Keeps the point under (cx, cy) where it is.
  function setZoom(zoom, cx = stage.clientWidth / 2, cy = stage.clientHeight / 2) {
    const before = scale();
    state.zoom = zoom;
    const ratio = scale() / before;
    state.x = cx - (cx - state.x) * ratio;
    state.y = cy - (cy - state.y) * ratio;
    place();
  }

  function stepZoom(direction) {
    const now = scale() * window.devicePixelRatio;
    const power = Math.log2(now);
    const next = 2 ** (direction > 0 ? Math.floor(power + 1.01) : Math.ceil(power - 1.01));
    if (next <= fitScale() * window.devicePixelRatio) setZoom(0);
    else setZoom(Math.min(MAX_ZOOM, next));
  }

  function cycle(what, count, step) {
    state[what] = (state[what] + step + count) % count;
    if (what === "picture") { state.zoom = 0; }
    update();
  }

  function swap() {
    [state.left, state.right] = [state.right, state.left];
    update();
  }

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const box = stage.getBoundingClientRect(), x = event.clientX - box.left;
    const near = Math.abs(x - state.split * box.width) < 24;
    drag = { pan: canPan() && !near, x: event.clientX, y: event.clientY };
    stage.setPointerCapture(event.pointerId);
    if (!drag.pan) setSplit(x / box.width);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (drag.pan) {
      state.x += event.clientX - drag.x;
      state.y += event.clientY - drag.y;
      drag.x = event.clientX;
      drag.y = event.clientY;
      place();
    } else {
      const box = stage.getBoundingClientRect();
      setSplit((event.clientX - box.left) / box.width);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { drag = null; });

  $("slider").addEventListener("input", (event) => setSplit(Number(event.target.value) / 100));
  $("picture").addEventListener("change", (event) => { state.picture = Number(event.target.value); state.zoom = 0; update(); });
  $("size").addEventListener("change", (event) => { state.size = Number(event.target.value); update(); });
  for (const side of ["left", "right"])
    $(side).addEventListener("change", (event) => { state[side] = group()[1][Number(event.target.value)].codec; update(); });
  for (const button of document.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => setZoom(Number(button.dataset.zoom)));
  $("original").addEventListener("click", () => { state.pinned = !state.pinned; place(); });
  $("swap").addEventListener("click", swap);
  for (const button of document.querySelectorAll("[data-picture]"))
    button.addEventListener("click", () => {
      Object.assign(state, { picture: Number(button.dataset.picture), zoom: 0, left: button.dataset.left, right: button.dataset.right });
      update();
      viewer.scrollIntoView();
    });

  const keys = {
    "+": () => stepZoom(1), "=": () => stepZoom(1), "-": () => stepZoom(-1), "−": () => stepZoom(-1),
    "0": () => setZoom(0), "1": () => setZoom(1),
    o: () => { state.hold = true; place(); },
    x: swap,
    n: () => cycle("picture", pictures.length, 1), p: () => cycle("picture", pictures.length, -1),
    s: () => cycle("size", picture().sizes.length, 1),
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    // A select uses letters and arrows itself, the range input arrows.
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
    const arrow = arrows[event.key];
    if (arrow) {
      if (event.target === $("slider") && !event.shiftKey) return;
      if (event.shiftKey) { state.x -= arrow[0] * 40; state.y -= arrow[1] * 40; place(); }
      else if (arrow[0] && (event.target === stage || event.target === document.body)) setSplit(state.split + arrow[0] * 0.02);
      else return;
      event.preventDefault();
      return;
    }
    const action = keys[event.key.toLowerCase()];
    if (action) { action(); event.preventDefault(); }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "o") { state.hold = false; place(); }
  });
  window.addEventListener("blur", () => { state.hold = false; place(); });
  new ResizeObserver(() => place()).observe(stage);
  update();
})();
