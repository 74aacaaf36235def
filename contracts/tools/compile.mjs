#!/usr/bin/env node
// Compile src/ to artifacts/<Contract>.json; with --check compare instead of writing. Deterministic: paths are relative to
// contracts/, keys are ordered, and the bytecode carries no metadata hash. Where a library's address belongs, the bytecode
// has a placeholder that is no hex.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
// In the order of deployment: the libraries that RelayLedger is linked to come before it.
const CONTRACTS = {
  MatchingLib: "src/libraries/MatchingLib.sol",
  SettlementLib: "src/libraries/SettlementLib.sol",
  RelayToken: "src/RelayToken.sol",
  RelayLedger: "src/RelayLedger.sol",
};
const MAX_RUNTIME_BYTES = 24_576; // EIP-170
// "Transient storage can break composability": OpenZeppelin's reentrancy guard clears it at the end of each call.
const ACCEPTED_WARNINGS = new Set(["2394"]);
const SETTINGS = {
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
};

const solc = createRequire(join(ROOT, "package.json"))("solc");

function read(path) {
  const folder = path.startsWith("src/") ? "" : "node_modules";
  return readFileSync(join(ROOT, folder, path), "utf8").replaceAll("\r\n", "\n");
}

function compile() {
  const used = {};
  const findImport = (path) => {
    try {
      used[path] = read(path);
      return { contents: used[path] };
    } catch (error) {
      return { error: `${path}: ${error.message} (run \`npm ci --ignore-scripts\` in contracts/)` };
    }
  };
  const sources = Object.fromEntries(Object.values(CONTRACTS).map((path) => [path, { content: findImport(path).contents }]));
  const code = ["object", "linkReferences"].flatMap((part) => [`evm.bytecode.${part}`, `evm.deployedBytecode.${part}`]);
  const outputSelection = { "*": { "*": ["abi", "storageLayout", ...code] } };
  const input = { language: "Solidity", sources, settings: { ...SETTINGS, outputSelection } };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  const problems = (output.errors ?? []).filter((problem) => !ACCEPTED_WARNINGS.has(problem.errorCode));
  if (problems.length > 0) {
    throw new Error(problems.map((problem) => problem.formattedMessage).join("\n"));
  }
  return { contracts: output.contracts, sourceHash: hashOf(used) };
}

// SHA-256 over path, NUL, text, NUL of every source that took part, in the order of the paths.
function hashOf(used) {
  const hash = createHash("sha256");
  for (const path of Object.keys(used).sort()) {
    hash.update(path).update("\0").update(used[path]).update("\0");
  }
  return hash.digest("hex");
}

// The libraries that a contract's code must be linked to: { library: [byte offset of an address, ...] }.
function linksOf(bytecode) {
  const links = Object.values(bytecode.linkReferences).flatMap(Object.entries);
  return Object.fromEntries(links.map(([library, places]) => [library, places.map((place) => place.start)]));
}

// A contract reverts with the errors of the libraries that it delegates to; only its own are in what the compiler says.
function abiOf(name, contracts) {
  const { abi, evm } = contracts[CONTRACTS[name]][name];
  const errors = Object.keys(linksOf(evm.bytecode)).flatMap((library) =>
    contracts[CONTRACTS[library]][library].abi.filter((item) => item.type === "error"),
  );
  const known = new Set(abi.map((item) => item.name));
  const added = new Map(errors.filter((item) => !known.has(item.name)).map((item) => [item.name, item]));
  return [...abi, ...added.values()];
}

function artifactOf(name, { contracts, sourceHash }) {
  const { evm, storageLayout } = contracts[CONTRACTS[name]][name];
  const size = evm.deployedBytecode.object.length / 2;
  if (size > MAX_RUNTIME_BYTES) {
    throw new Error(`${name} has ${size} bytes at run time, allowed are ${MAX_RUNTIME_BYTES}`);
  }
  const artifact = {
    contractName: name,
    abi: abiOf(name, contracts),
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
    linkReferences: linksOf(evm.bytecode),
    deployedLinkReferences: linksOf(evm.deployedBytecode),
    storageLayout,
    compiler: solc.version().replace(/\.Emscripten\.clang$/, ""),
    settings: SETTINGS,
    sourceHash,
  };
  return { size, text: `${JSON.stringify(artifact, null, 1)}\n` };
}

function main(argv) {
  if (argv.some((argument) => argument !== "--check")) {
    console.error("usage: node tools/compile.mjs [--check]");
    return 2;
  }
  const check = argv.length > 0;
  const compiled = compile();
  let stale = 0;
  for (const name of Object.keys(CONTRACTS)) {
    const { size, text } = artifactOf(name, compiled);
    const path = join(ROOT, "artifacts", `${name}.json`);
    if (!check) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } else if (readFileSync(path, "utf8") !== text) {
      console.error(`artifacts/${name}.json is not what src/ compiles to: run \`npm run build\` in contracts/`);
      stale += 1;
    }
    console.log(`${name}: ${size} bytes at run time`);
  }
  return stale === 0 ? 0 : 1;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
