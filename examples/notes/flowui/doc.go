// Package flowui shows Ory's self-service flows as plain HTML, on the server, without JavaScript.
//
// Ory keeps the state of a sign-up, a login or a settings page in a "flow", and says in `ui.nodes` which fields the page must
// show. One renderer is therefore enough for every page and every method that Ory knows, today's and most of tomorrow's:
//
//	browser                       this application                    Ory
//	GET /login          ───────▶  no ?flow: 303 to Client.Start ───▶  makes a flow, sets its CSRF cookie
//	GET /login?flow=ID  ◀──────────────────────────────────── 303 ──
//	                    ───────▶  Client.Flow(r, Login, ID)     ───▶  the flow as JSON
//	   the page         ◀───────  Render(flow, Options{})
//	POST ui.action      ───────────────────────────────────────────▶  checks it: 303 to the page that was wanted,
//	                                                                  or 303 back to /login?flow=ID with messages
//
// The browser posts to Ory directly, so passwords never pass through this application.
//
// The package stands alone (standard library only): copy the folder, style the classes that form.html names.
package flowui
