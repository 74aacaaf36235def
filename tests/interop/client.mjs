// A stranger's client, written from docs/PROTOCOL.md alone. It takes one JSON object on its command line, prints a JSON
// line for each thing that it has done, and leaves when its standard input ends. Its key is of the Ed25519 kind, and it
// serves nothing.
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { byteStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { createLibp2p } from 'libp2p'

// js-libp2p 3 uses what Node 20 has not yet.
Promise.withResolvers ??= () => {
  const deferred = {}
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }))
  return deferred
}

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
const MAX_CHUNK_BYTES = 1024 * 1024
const MAX_DIGESTS_PER_REQUEST = 16
const NOT_HERE = 0xffffffff
const NOT_FOR_YOU = 0xfffffffe

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const check = (holds, what) => { if (!holds) throw new Error(what) }

// --- numbers and canonical JSON -----------------------------------------------------------------------------------

function uint (value, size) {
  const bytes = new Uint8Array(size)
  for (let left = BigInt(value), at = size - 1; at >= 0; at--, left >>= 8n) bytes[at] = Number(left & 255n)
  return bytes
}

const escaped = (text) => '"' + text.replace(/["\\\u0000-\u001f]/g, (c) =>
  c < ' ' ? '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0') : '\\' + c) + '"'

function canonical (value) {
  if (typeof value === 'string') return escaped(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${escaped(key)}:${canonical(value[key])}`).join(',')}}`
}

// --- root and signature -------------------------------------------------------------------------------------------

function treeHash (leaves) {
  if (leaves.length === 1) return sha256(concatBytes(uint(0, 1), leaves[0]))
  let half = 1
  while (half * 2 < leaves.length) half *= 2
  return sha256(concatBytes(uint(1, 1), treeHash(leaves.slice(0, half)), treeHash(leaves.slice(half))))
}

function rootOf (manifest, itemBytes) {
  const leaves = [concatBytes(uint(1, 1), utf8ToBytes(canonical(manifest.header)))]
  const chunks = manifest.chunks[Symbol.iterator]()
  manifest.header.tensors.forEach(({ dtype, shape }, index) => {
    const size = shape.reduce((product, each) => product * each, itemBytes[dtype])
    for (let offset = 0; offset < size;) {
      const [length, digest] = chunks.next().value
      leaves.push(concatBytes(uint(2, 1), uint(index, 4), uint(offset, 8), uint(length, 4), hexToBytes(digest)))
      offset += length
    }
  })
  check(chunks.next().done, 'the table has more chunks than the tensors')
  return treeHash(leaves)
}

function signerOf ({ header, signature }, root, { chain_id: chain, address }) {
  const digest = sha256(concatBytes(
    utf8ToBytes('derelayl/leg/1'), uint(0, 1), uint(chain, 32), hexToBytes(address.slice(2)), hexToBytes(header.model),
    uint(header.round, 8), header.parents.length > 0 ? hexToBytes(header.parents[0]) : uint(0, 32), root
  ))
  const bytes = hexToBytes(signature)
  const recoverable = concatBytes(bytes.slice(64), bytes.slice(0, 64))
  const key = secp256k1.recoverPublicKey(recoverable, digest, { prehash: false })
  const point = secp256k1.Point.fromBytes(key).toBytes(false)
  return '0x' + bytesToHex(keccak_256(point.slice(1)).slice(-20))
}

// --- streams ------------------------------------------------------------------------------------------------------

async function readAnswer (bytes, most) {
  const length = (await bytes.read({ bytes: 4 })).getUint32(0)
  if (length === NOT_HERE) return 'not here'
  if (length === NOT_FOR_YOU) return 'not for you'
  check(length >= 1 && length <= most, `an answer of ${length} bytes`)
  return (await bytes.read({ bytes: length })).slice()
}

async function ask (host, peer, protocol, request, most, answers) {
  const stream = await host.dialProtocol(peer, protocol)
  const bytes = byteStream(stream, { maxBufferSize: MAX_DIGESTS_PER_REQUEST * (MAX_CHUNK_BYTES + 4) })
  await bytes.write(request)
  const found = []
  for (let number = 0; number < answers; number++) found.push(await readAnswer(bytes, most))
  await stream.close()
  return found
}

const askForManifest = async (host, peer, root) =>
  (await ask(host, peer, '/derelayl/manifest/1', root, MAX_MANIFEST_BYTES, 1))[0]

const askForChunks = (host, peer, digests) =>
  ask(host, peer, '/derelayl/chunks/1', concatBytes(uint(digests.length, 2), ...digests), MAX_CHUNK_BYTES, digests.length)

// --- what it does -------------------------------------------------------------------------------------------------

const wanted = JSON.parse(process.argv[2])
const host = await createLibp2p({
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    pubsub: gossipsub({
      globalSignaturePolicy: 'StrictSign',
      D: 8,
      Dlo: 6,
      Dhi: 12,
      msgIdFn: ({ from, sequenceNumber }) => concatBytes(from.toMultihash().bytes, uint(sequenceNumber, 8))
    })
  }
})
const connection = await host.dial(multiaddr(wanted.address))
const peer = connection.remotePeer
say({ did: 'connected', peer: host.peerId.toString() })

const wire = await askForManifest(host, peer, hexToBytes(wanted.root))
const manifest = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(wire))
check(canonical(manifest) === new TextDecoder().decode(wire), 'the manifest is not canonical')
const root = rootOf(manifest, { F32: 4, F16: 2, BF16: 2, U8: 1 })
check(bytesToHex(root) === wanted.root, 'the manifest has another root')
check(signerOf(manifest, root, wanted.ledger) === manifest.header.trainer, 'another one has signed')
say({ did: 'verified', trainer: manifest.header.trainer })

const digests = [...new Set(manifest.chunks.map(([, digest]) => digest))]
for (let start = 0; start < digests.length; start += MAX_DIGESTS_PER_REQUEST) {
  const asked = digests.slice(start, start + MAX_DIGESTS_PER_REQUEST)
  const chunks = await askForChunks(host, peer, asked.map(hexToBytes))
  chunks.forEach((chunk, at) => check(bytesToHex(blake3(chunk)) === asked[at], 'a chunk of other bytes'))
}
say({ did: 'fetched', chunks: digests.length })
say({ did: 'asked', answers: await askForChunks(host, peer, [hexToBytes(wanted.paid), new Uint8Array(32)]) })

const topic = `/derelayl/announcements/1/${wanted.model}`
host.services.pubsub.addEventListener('message', ({ detail }) => {
  if (detail.topic === topic) say({ did: 'heard', from: detail.from.toString(), ...JSON.parse(new TextDecoder().decode(detail.data)) })
})
host.services.pubsub.subscribe(topic)
say({ did: 'subscribed' })

// Each line on standard input is one thing to do: "announce" or "again".
let said = ''
for await (const piece of process.stdin) {
  const lines = (said + piece).split('\n')
  said = lines.pop()
  for (const line of lines) {
    if (line === 'announce') {
      const trainer = '0x' + 'ab'.repeat(20)
      const news = canonical({ model: wanted.model, root: wanted.root, round: 7, trainer })
      await host.services.pubsub.publish(topic, utf8ToBytes(news))
      say({ did: 'announced' })
    } else {
      const again = await askForManifest(host, peer, hexToBytes(wanted.root))
      say({ did: 'asked again', same: bytesToHex(again) === bytesToHex(wire), connection: connection.status })
    }
  }
}
await host.stop()
