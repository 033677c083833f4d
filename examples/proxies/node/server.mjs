// A backend in Node behind nginx (../nginx/nginx.conf). It reads X-User-Id and nothing
// else. nginx sets it on every request, and denies a request without a user. This server
// listens on the loopback interface only, because a client that could reach it directly,
// not through nginx, could claim to be any user.
import { createServer } from 'node:http'

const { PORT = '3000' } = process.env
const notes = new Map() // by user

createServer((req, res) => {
  const user = req.headers['x-user-id']
  if (!user) return res.writeHead(401).end() // /auth/optional: a stranger
  const mine = notes.get(user) ?? notes.set(user, []).get(user)
  if (req.method === 'POST') mine.push(new Date().toISOString())
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify({ user, notes: mine.length, headers: req.rawHeaders }))
}).listen(Number(PORT), '127.0.0.1')
