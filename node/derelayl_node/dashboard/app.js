// Draws the lineage of one model from the REST interface. No data reaches the page except as text.

const REFRESH_MILLISECONDS = 10_000;
const REQUEST_MILLISECONDS = 15_000;
const MOST_MODELS = 200; // one page of the interface
const MOST_CHECKPOINTS = 600; // more boxes than anybody looks at; older ones are in the interface
const BOX = { width: 148, height: 56, column: 204, row: 74, left: 14, top: 38 };
const SVG = "http://www.w3.org/2000/svg";
const WHOLE_MODEL = 255;
const DECIMALS = 18;

const state = { models: [], checkpoints: new Map(), tips: new Set(), partial: false, drawn: "", scrolledTo: null };
const byId = (id) => document.getElementById(id);

async function fetchJson(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(REQUEST_MILLISECONDS) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? `the node answered ${answer.status}`);
  return body;
}

async function fetchNewest(model) {
  const found = [];
  let next = `/v1/models/${model}/checkpoints?limit=200&order=newest`;
  while (next && found.length < MOST_CHECKPOINTS) {
    const page = await fetchJson(next);
    found.push(...page.items);
    next = page.next;
  }
  return { found: found.reverse(), partial: next !== null };
}

// The address after # is MODEL or MODEL/ROOT, so that every view has a link and the back button works.
function place() {
  const found = /^#(0x[0-9a-f]{64})(?:\/(0x[0-9a-f]{64}))?$/.exec(location.hash);
  return { model: found?.[1] ?? null, root: found?.[2] ?? null };
}

function chosenModel() {
  const { model } = place();
  return state.models.find((one) => one.model === model) ?? state.models[0] ?? null;
}

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawing(name, options = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(options)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

const short = (hex) => `${hex.slice(0, 8)}…${hex.slice(-4)}`;
const segmentName = (segment) => (segment === WHOLE_MODEL ? "whole" : String(segment));
const segmentLabel = (segment) => (segment === WHOLE_MODEL ? "whole" : `segment ${segment}`);
// How a leg ended is said in the interface's word; all endings but "selected" are drawn alike.
const stateName = (one) => (state.tips.has(one.root) ? "tip" : one.status === "submitted" ? "waiting" : one.status);
const isRefused = (one) => !["genesis", "submitted", "selected"].includes(one.status);
const kindOf = (one) => (isRefused(one) ? "refused" : one.status);

function gainText(ppm) {
  if (ppm === null) return "–";
  const sign = ppm < 0 ? "−" : "+";
  return `${sign}${(Math.abs(ppm) / 1e6).toFixed(4)}`;
}

function tokens(wei) {
  const digits = wei.replace("-", "").padStart(DECIMALS + 1, "0");
  const whole = digits.slice(0, -DECIMALS);
  const part = digits.slice(-DECIMALS, -DECIMALS + 4).replace(/0+$/, "");
  return `${wei.startsWith("-") ? "−" : ""}${whole}${part ? `.${part}` : ""}`;
}

function fact(term, value, wide = false) {
  const box = element("div", wide ? { class: "wide" } : {});
  box.append(element("dt", {}, term), element("dd", {}, value));
  return box;
}

function showModels(current) {
  const items = state.models.map((one) => {
    const about = `round ${one.round}, ${one.phase} · ${one.selected_legs} of ${one.submitted_legs} legs selected`;
    const options = { href: `#${one.model}`, "aria-current": one === current ? "true" : null };
    const name = element("span", { class: "hash" }, short(one.model));
    return element("li", {}, element("a", options, name, element("small", {}, about)));
  });
  byId("models").replaceChildren(...(items.length ? items : [element("li", { class: "quiet" }, "No model yet.")]));
}

function showModel(model) {
  byId("model").replaceChildren(
    fact("Id", element("span", { class: "hash" }, model.model), true),
    fact("Round", `${model.round} (${model.phase})`),
    fact("Deadline", model.deadline ? new Date(model.deadline * 1000).toLocaleString() : "none yet"),
    fact("Rounds settled / voided", `${model.settled_rounds} / ${model.voided_rounds}`),
    fact("Emission budget", `${tokens(model.budget_wei)} tokens`),
    fact("Tips", String(state.tips.size)),
  );
}

// Rounds become columns. A child tries to stay on its parent's row, a refused one below: the accepted line runs straight.
function layOut(checkpoints) {
  const rounds = [...new Set(checkpoints.map((one) => one.round))].sort((a, b) => a - b);
  const column = new Map(rounds.map((round, at) => [round, at]));
  const rows = new Map();
  for (const round of rounds) {
    const taken = new Set();
    const wish = (one) => rows.get(one.parent) ?? 0;
    const siblings = checkpoints.filter((one) => one.round === round);
    const rank = (one) => (isRefused(one) ? 1 : 0);
    siblings.sort((a, b) => rank(a) - rank(b) || wish(a) - wish(b) || (a.leg ?? 0) - (b.leg ?? 0));
    for (const one of siblings) {
      let row = wish(one) + rank(one);
      while (taken.has(row)) row += 1;
      taken.add(row);
      rows.set(one.root, row);
    }
  }
  const spots = new Map();
  for (const one of checkpoints) {
    const at = { x: BOX.left + column.get(one.round) * BOX.column, y: BOX.top + rows.get(one.root) * BOX.row };
    spots.set(one.root, at);
  }
  return { rounds, spots, height: BOX.top + (Math.max(0, ...rows.values()) + 1) * BOX.row };
}

function drawTree(model, checkpoints, chosen) {
  const { rounds, spots, height } = layOut(checkpoints);
  const width = BOX.left + rounds.length * BOX.column - (BOX.column - BOX.width) + BOX.left;
  const picture = drawing("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  picture.setAttribute("aria-label", `Lineage of ${short(model.model)}: ${checkpoints.length} checkpoints`);
  rounds.forEach((round, at) => {
    const text = round === 0 ? "genesis" : `round ${round}`;
    picture.append(drawing("text", { class: "column", x: BOX.left + at * BOX.column, y: 22 }, text));
  });
  for (const one of [...checkpoints].sort((a, b) => (a.status === "selected") - (b.status === "selected"))) {
    picture.append(...drawEdge(one, spots));
  }
  for (const one of checkpoints) picture.append(drawBox(model, one, spots.get(one.root), one.root === chosen));
  const frame = byId("tree");
  const { scrollLeft, scrollTop } = frame;
  frame.replaceChildren(picture);
  if (state.scrolledTo === location.hash) frame.scrollTo(scrollLeft, scrollTop);
  else reveal(frame, spots.get(chosen) ?? { x: width, y: 0 });
}

// The newest round first, or what was chosen; afterwards the reader decides.
function reveal(frame, spot) {
  frame.scrollTo(spot.x + BOX.width / 2 - frame.clientWidth / 2, spot.y + BOX.height / 2 - frame.clientHeight / 2);
  state.scrolledTo = location.hash;
}

function drawEdge(one, spots) {
  const to = spots.get(one.root);
  if (one.parent === null) return [];
  const from = spots.get(one.parent) ?? { x: to.x - BOX.column, y: to.y }; // an older parent that is not shown
  const [x0, y0, x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
  const middle = (x0 + x1) / 2;
  return [drawing("path", { class: kindOf(one), d: `M${x0} ${y0} C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}` })];
}

function drawBox(model, one, spot, chosen) {
  const kinds = [kindOf(one), state.tips.has(one.root) ? "tip" : "", chosen ? "chosen" : ""];
  const link = drawing("a", { href: `#${model.model}/${one.root}`, class: kinds.filter(Boolean).join(" ") });
  const gain = one.status === "genesis" ? "" : `, gain ${gainText(one.gain_ppm)}`;
  link.setAttribute("aria-label", `${short(one.root)}, round ${one.round}, ${stateName(one)}${gain}`);
  if (chosen) link.setAttribute("aria-current", "true");
  const [x, y] = [spot.x + 10, spot.y];
  link.append(drawing("rect", { x: spot.x, y, width: BOX.width, height: BOX.height, rx: 6 }));
  link.append(drawing("text", { class: "name", x, y: y + 18 }, short(one.root)));
  const line = one.status === "genesis" ? "genesis" : `${gainText(one.gain_ppm)} · ${segmentLabel(one.segment)}`;
  link.append(drawing("text", { x, y: y + 33 }, line));
  const by = one.trainer.slice(0, 8);
  link.append(drawing("text", { class: "small", x, y: y + 48 }, `by ${by}`));
  if (state.tips.has(one.root)) {
    link.append(drawing("text", { class: "badge", x: spot.x + BOX.width - 26, y: y + 48 }, "tip"));
  }
  return link;
}

function showRows(model, checkpoints, chosen) {
  const rows = [...checkpoints].reverse().map((one) => {
    const link = element("a", { href: `#${model.model}/${one.root}`, class: "hash" }, short(one.root));
    const reward = element("td", { class: "number", title: `${one.reward_wei} wei` }, tokens(one.reward_wei));
    const options = { class: kindOf(one), "aria-current": one.root === chosen ? "true" : null };
    return element(
      "tr",
      options,
      element("td", {}, link),
      element("td", { class: "number" }, String(one.round)),
      element("td", {}, one.status === "genesis" ? "–" : segmentName(one.segment)),
      element("td", {}, stateName(one)),
      element("td", { class: "number" }, one.status === "genesis" ? "–" : gainText(one.gain_ppm)),
      reward,
      element("td", { class: "hash", title: one.trainer }, short(one.trainer)),
    );
  });
  byId("rows").replaceChildren(...rows);
}

function showDetails(model, root) {
  const one = root === null ? null : (state.checkpoints.get(root) ?? null);
  byId("details").hidden = one === null;
  if (one === null) return;
  const hash = (text) => element("span", { class: "hash" }, text);
  const parent = one.parent === null ? "none: a genesis" : element("a", { href: `#${model.model}/${one.parent}`, class: "hash" }, one.parent);
  const decided = one.settled ?? one.submitted;
  byId("details-title").textContent = `Checkpoint ${short(one.root)}`;
  byId("facts").replaceChildren(
    fact("Root", hash(one.root), true),
    fact("Parent", parent, true),
    fact("Trainer", hash(one.trainer), true),
    fact("State", stateName(one)),
    fact("Round, leg", one.leg === null ? "–" : `${one.round}, ${one.leg}`),
    fact("Segment", one.status === "genesis" ? "–" : segmentName(one.segment)),
    fact("Gain", one.status === "genesis" ? "–" : gainText(one.gain_ppm)),
    fact("Score since genesis", gainText(one.score_ppm)),
    fact("Reward", `${tokens(one.reward_wei)} tokens`),
    fact("Royalty to the parent", `${tokens(one.royalty_wei)} tokens`),
    fact("On the chain", `${decided.event} in block ${decided.block_number}, ${new Date(decided.block_time * 1000).toLocaleString()}`),
    fact("Transaction", hash(decided.transaction_hash), true),
  );
  const links = { "Proof of its lineage": "/proof", "As JSON": "", Ancestors: "/ancestors", Descendants: "/descendants", Manifest: "/manifest" };
  const query = `?model=${model.model}`;
  byId("links").replaceChildren(
    ...Object.entries(links).map(([text, path]) => {
      const href = `/v1/checkpoints/${one.root}${path}${path === "/manifest" ? "" : query}`;
      return element("li", {}, element("a", { href }, text));
    }),
  );
}

function show() {
  const model = chosenModel();
  const { root } = place();
  const focused = document.activeElement?.getAttribute?.("href");
  const within = document.activeElement?.closest?.("#tree, #rows, #models, #facts, #links")?.id;
  showModels(model);
  byId("content").hidden = model === null;
  if (model !== null) {
    const checkpoints = [...state.checkpoints.values()];
    showModel(model);
    byId("tree-note").textContent = state.partial
      ? `The newest ${checkpoints.length} checkpoints; older ones are in the REST interface.`
      : "Rounds from left to right; choose a checkpoint for its details.";
    drawTree(model, checkpoints, root);
    showDetails(model, root);
    showRows(model, checkpoints, root);
  }
  if (focused && within) {
    const same = [...byId(within).querySelectorAll("a")].find((one) => one.getAttribute("href") === focused);
    same?.focus({ preventScroll: true });
  }
}

async function load() {
  state.models = (await fetchJson(`/v1/models?limit=${MOST_MODELS}`)).items;
  const model = chosenModel();
  if (model !== null) {
    const [{ found, partial }, tips] = await Promise.all([
      fetchNewest(model.model),
      fetchJson(`/v1/models/${model.model}/tips`),
    ]);
    state.checkpoints = new Map(found.map((one) => [one.root, one]));
    state.tips = new Set(tips.items.map((tip) => tip.checkpoint.root));
    state.partial = partial;
  }
  const now = JSON.stringify([state.models, [...state.checkpoints.values()], [...state.tips], location.hash]);
  if (now !== state.drawn) show();
  state.drawn = now;
}

async function loadHealth() {
  const answer = await fetch("/healthz", { signal: AbortSignal.timeout(REQUEST_MILLISECONDS) });
  const body = await answer.json();
  const text = answer.ok ? `Network ${body.network}, block ${body.head_block ?? "none"}, ${body.events} events` : body.detail;
  const line = byId("health");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("bad", !answer.ok);
}

async function refresh() {
  const trouble = byId("trouble");
  try {
    await Promise.all([load(), loadHealth()]);
    trouble.hidden = true;
  } catch (error) {
    const text = `The node does not answer (${error.message}); trying again.`;
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = false;
  }
}

async function moved() {
  await refresh();
  if (place().root !== null && !byId("details").hidden) byId("details-title").focus();
}

async function keepFresh() {
  await refresh();
  for (;;) {
    await new Promise((wake) => setTimeout(wake, REFRESH_MILLISECONDS));
    if (byId("refresh").checked && !document.hidden) await refresh();
  }
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address after # belongs to the models
  byId("main").focus();
});
addEventListener("hashchange", moved);
keepFresh();
