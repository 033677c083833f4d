// An application that makes its own users if Symbolon asks for them (users.create_url),
// in Node (18 or newer) without dependencies. The users are lines of a file, so only one
// process may run. With a database a unique index on identity_id replaces the map here.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'

const { SYMBOLON_WEBHOOK_SECRET: secret = '', HOST = '127.0.0.1', PORT = '3000', USERS = 'users.jsonl' } = process.env
const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
if (!secret.startsWith('whsec_') || key.length < 24) {
  console.error('Set SYMBOLON_WEBHOOK_SECRET to what `symbolon actions print --for create_url` says.')
  process.exit(2)
}

// The users by identity, so that no identity gets two, and by address, which is unique
// here.
const byIdentity = new Map(), byEmail = new Map()
let next = 1
function remember(user) {
  next = Math.max(next, user.id + 1)
  byIdentity.set(user.identity_id, user)
  byEmail.set(user.email.toLowerCase(), user)
}
if (existsSync(USERS)) {
  const text = readFileSync(USERS, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1) // half a line was never answered, so it is dropped
  truncateSync(USERS, Buffer.byteLength(whole))
  for (const line of whole.split('\n').filter(Boolean)) remember(JSON.parse(line))
}
const file = openSync(USERS, 'a', 0o600)

// make is one step: no other request runs between the look-up and the write. The answer
// is sent after the user is on the disk.
function make(identity_id, { email, name }) {
  const existing = byIdentity.get(identity_id)
  if (existing) return [409, { id: existing.id }]
  if (typeof email !== 'string' || !email) return [422, { error: 'a user needs an e-mail address' }]
  if (byEmail.has(email.toLowerCase())) return [422, { error: 'another user has this e-mail address' }]
  const user = { id: next, identity_id, email, name: name ?? null, made_at: new Date().toISOString() }
  writeSync(file, JSON.stringify(user) + '\n')
  fsyncSync(file)
  remember(user)
  return [201, { id: user.id }]
}

// verified proves that a body comes from Symbolon and is not old (Standard Webhooks).
function verified(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': given } = headers
  if (!id || !given || !/^\d{1,12}$/.test(at ?? '') || Math.abs(Date.now() / 1000 - at) > 300) return false
  const want = createHmac('sha256', key).update(`${id}.${at}.`).update(body).digest()
  return given.split(' ').some((signature) => {
    const [version, text = ''] = signature.split(',')
    const got = Buffer.from(text, 'base64')
    return version === 'v1' && got.length === want.length && timingSafeEqual(got, want)
  })
}

async function read(request, limit) {
  const parts = []
  let size = 0
  for await (const part of request) {
    if ((size += part.length) > limit) return null
    parts.push(part)
  }
  return Buffer.concat(parts)
}

async function answer(request) {
  if (request.url !== '/internal/users') return [404, { error: 'there is no such path' }]
  if (request.method !== 'POST') return [405, { error: 'POST a user' }]
  const body = await read(request, 1 << 20)
  if (!body) return [413, { error: 'too large' }]
  if (!verified(request.headers, body)) return [401, { error: 'the signature is missing, wrong or old' }]
  let question
  try {
    question = JSON.parse(body)
  } catch {
    return [400, { error: 'the body is not JSON' }]
  }
  if (typeof question.identity_id !== 'string') return [400, { error: 'identity_id is missing' }]
  return make(question.identity_id, question.columns ?? {})
}

const server = createServer(async (request, response) => {
  let status, body
  try {
    [status, body] = await answer(request)
  } catch (error) { // for example a full disk or a broken request: Symbolon asks again
    console.error(error)
    ;[status, body] = [500, { error: 'something went wrong here' }]
  }
  response.writeHead(status, { 'content-type': 'application/json', ...(status === 413 && { connection: 'close' }) })
  response.end(JSON.stringify(body))
})
server.listen(Number(PORT), HOST, () => console.log(`http://${HOST}:${server.address().port}/internal/users`))
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.close(() => closeSync(file)))
