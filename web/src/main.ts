/** The page: files in, the picture and its facts out. */

import { BitcodecError, decode, info, stop, type Info, type Picture } from "./index";

const LARGE = 16_000_000; // pixels: above, one part is decoded at a time
const PART = 2048;
const TIMES = [0.125, 0.25, 0.5, 1, 2, 4, 8];

const get = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const canvas = get<HTMLCanvasElement>("canvas");
const stage = get("stage");
const status = get("status");
const part = get<HTMLSelectElement>("part");

interface Opened {
  name: string;
  bytes: Uint8Array;
  button: HTMLButtonElement;
}

let current: Opened | null = null;
let zoom: number | "fit" = "fit";
let turn = 0;

function fail(name: string, error: unknown): void {
  const plain = error instanceof BitcodecError;
  get("error").textContent = `${name}: ${plain ? error.message : "the decoder failed here"}`;
  get("error").hidden = false;
  if (!plain) console.error(error);
}

function open(name: string, bytes: Uint8Array): Opened {
  const button = document.createElement("button");
  button.textContent = name;
  const item = document.createElement("li");
  item.append(button);
  get("files").append(item);
  const opened = { name, bytes, button };
  button.onclick = () => void show(opened);
  return opened;
}

async function show(opened: Opened): Promise<void> {
  const mine = ++turn;
  current = opened;
  get("error").hidden = true;
  get("viewer").hidden = get("about").hidden = true;
  document.body.dataset.state = "working";
  for (const button of get("files").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button === opened.button));
  }
  status.textContent = `Decoding ${opened.name}`;
  try {
    const facts = await info(opened.bytes);
    const [width, height] = [Number(facts.width), Number(facts.height)];
    if (mine !== turn) return;
    offerParts(width, height);
    await paint(opened, mine);
  } catch (error) {
    if (mine !== turn) return;
    fail(opened.name, error);
    status.textContent = "";
    document.body.dataset.state = "failed";
  } finally {
    if (mine === turn) get("progress").hidden = true;
  }
}

function offerParts(width: number, height: number): void {
  part.replaceChildren();
  get("crop").hidden = width * height <= LARGE;
  if (width * height <= LARGE) return;
  for (let y = 0; y < height; y += PART) {
    for (let x = 0; x < width; x += PART) {
      const box = [x, y, Math.min(width, x + PART), Math.min(height, y + PART)];
      const text = `${box[0]},${box[1]} to ${box[2]},${box[3]}`;
      part.append(new Option(text, box.join(",")));
    }
  }
}

async function paint(opened: Opened, mine: number): Promise<void> {
  const progress = get<HTMLProgressElement>("progress");
  progress.value = 0;
  progress.hidden = false;
  const [x0, y0, x1, y1] = part.value.split(",").map(Number);
  const crop = part.value ? { x0, y0, x1, y1 } : undefined;
  const started = performance.now();
  const picture = await decode(opened.bytes, {
    crop,
    progress: (share) => mine === turn && (progress.value = share),
  });
  if (mine !== turn) return;
  const seconds = (performance.now() - started) / 1000;
  draw(opened.name, picture);
  tell(picture.info);
  status.textContent =
    `${opened.name}: ${picture.info.width}×${picture.info.height}, ` +
    `${opened.bytes.length.toLocaleString("en")} bytes, decoded in ${seconds.toFixed(1)} s`;
  document.body.dataset.state = "ready";
}

function draw(name: string, { width, height, rgba }: Picture): void {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  stage.setAttribute("aria-label", `${name}, ${width} by ${height} pixels`);
  get("viewer").hidden = false;
  fit(zoom);
}

function tell(facts: Info): void {
  const rows = Object.entries(facts).map(([name, value]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const cell = document.createElement("td");
    const number = typeof value === "number" && !Number.isInteger(value);
    if (typeof value === "boolean") cell.textContent = value ? "yes" : "no";
    else cell.textContent = number ? value.toFixed(4) : String(value ?? "none");
    row.append(head, cell);
    return row;
  });
  get("facts").replaceChildren(...rows);
  get("about").hidden = false;
}

function scale(): number {
  if (zoom !== "fit") return zoom;
  const height = Math.min(0.75 * innerHeight, 1200) - 2; // as page.css has it, less the border
  return Math.min(1, stage.clientWidth / canvas.width, height / canvas.height);
}

function fit(value: number | "fit"): void {
  zoom = value;
  const times = scale();
  canvas.style.width = `${canvas.width * times}px`;
  canvas.style.height = `${canvas.height * times}px`;
  canvas.style.imageRendering = times > 1 ? "pixelated" : "auto";
  get("zoom").textContent = `${Math.round(times * 100)} %`;
}

function larger(): void {
  fit(TIMES.find((times) => times > scale() + 1e-6) ?? 8);
}

function smaller(): void {
  fit(TIMES.findLast((times) => times < scale() - 1e-6) ?? 0.125);
}

function save(): void {
  const name = `${(current?.name ?? "picture").replace(/\.bin$/, "")}.png`;
  canvas.toBlob((blob) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

async function take(files: Iterable<File>): Promise<void> {
  let first: Opened | null = null;
  for (const file of files) {
    const opened = open(file.name, new Uint8Array(await file.arrayBuffer()));
    first ??= opened;
  }
  if (first) await show(first);
}

/** `?file=URL`, of the same site. */
async function takeLink(link: string): Promise<void> {
  const url = new URL(link, location.href);
  const name = decodeURIComponent(url.pathname.split("/").pop() ?? link);
  try {
    const foreign = url.origin !== location.origin;
    if (foreign) throw new BitcodecError("it is of another site, and not loaded");
    const response = await fetch(url).catch(() => null);
    if (!response?.ok) throw new BitcodecError("it could not be loaded");
    await show(open(name, new Uint8Array(await response.arrayBuffer())));
  } catch (error) {
    fail(name, error);
    document.body.dataset.state = "failed";
  }
}

const keys: Record<string, () => void> = {
  "0": () => fit("fit"),
  "1": () => fit(1),
  "+": larger,
  "=": larger,
  "-": smaller,
  s: save,
  o: () => get("choose").click(),
};

get("fit").onclick = () => fit("fit");
get("full").onclick = () => fit(1);
get("in").onclick = larger;
get("out").onclick = smaller;
get("save").onclick = save;
part.onchange = () => current && void paint(current, ++turn);
get<HTMLInputElement>("choose").onchange = (event) => {
  const input = event.target as HTMLInputElement;
  void take([...(input.files ?? [])]).then(() => (input.value = ""));
};
addEventListener("resize", () => zoom === "fit" && fit("fit"));
addEventListener("pagehide", stop);
addEventListener("keydown", (event) => {
  const typing = (event.target as HTMLElement).closest("select, input");
  if (get("viewer").hidden && event.key !== "o") return;
  if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) keys[event.key]?.();
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  void take([...(event.dataTransfer?.files ?? [])]);
});
navigator.serviceWorker?.register("offline.js").catch(() => {});
const link = new URLSearchParams(location.search).get("file");
if (link) void takeLink(link);
