#!/usr/bin/env bash
# Expected: a signed gossipsub message has by default the id that the specification of pubsub names, `from` (the bytes of
#           the author's peer id) followed by `seqno`, as go-libp2p, rust-libp2p and py-libp2p make it.
# Happens:  js-libp2p takes the protobuf of the author's public key instead of `from`, which lacks the two bytes of the
#           multihash in front: 44 bytes instead of 46 for an Ed25519 key. No id equals that of another library.
# Versions: @libp2p/gossipsub 17.1.1, libp2p 3.3.11, Node 20.20.2; seen 2026-11-30.
# Matters to networks with peers in several languages: messages arrive, but what a neighbour announces with IHAVE always
# looks new and is fetched again, and IDONTWANT saves nothing. Pass `msgIdFn`, as below.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >npm.log
npm install --silent --ignore-scripts --no-audit --no-fund "libp2p@3.3.11" "@libp2p/gossipsub@17.1.1" \
  "@libp2p/tcp@11.0.28" "@chainsafe/libp2p-noise@17.0.0" "@libp2p/yamux@8.0.3" "@libp2p/identify@4.1.14" >>npm.log

cat >ids.mjs <<'JS'
import { noise } from '@chainsafe/libp2p-noise'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

// js-libp2p 3 uses what Node 20 lacks
Promise.withResolvers ??= () => {
  const deferred = {}
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }))
  return deferred
}

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const bySpecification = ({ from, sequenceNumber }) =>
  Buffer.concat([from.toMultihash().bytes, Buffer.from(sequenceNumber.toString(16).padStart(16, '0'), 'hex')])

const open = (options) => createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, ...options }) }
})

async function idsOf (options) {
  const host = await open({ emitSelf: true, ...options })
  host.services.pubsub.subscribe('news')
  const heard = new Promise((resolve) => {
    host.services.pubsub.addEventListener('gossipsub:message', ({ detail }) =>
      resolve({ found: detail.msgId, expected: hex(bySpecification(detail.msg)) }))
  })
  await host.services.pubsub.publish('news', new Uint8Array([1]))
  const ids = await heard
  await host.stop()
  const found = /^[0-9a-f]+$/.test(ids.found) ? ids.found : hex(Buffer.from(ids.found, 'base64'))
  return { found, expected: ids.expected }
}

const byDefault = await idsOf({})
const told = await idsOf({ msgIdFn: bySpecification })
console.log(`by the specification: ${byDefault.expected}\nby default:           ${byDefault.found}`)
const asStated = byDefault.found === byDefault.expected.slice(4) && told.found === told.expected
if (!asStated) {
  console.log('changed: the default id is no longer the public key and the sequence number')
  process.exitCode = 1
}
JS
node ids.mjs
