-- http-request lua.symbolon URL
--
-- Asks Symbolon for the user of a request, with HAProxy's built-in HTTP client.
-- The policy is the path of URL. Nothing that a client sends is part of it.
--
-- After a 200 the script sets all identity headers, also empty ones, and the variable
-- txn.symbolon to "yes". A denial goes to the client unchanged. If Symbolon gives no
-- answer or this script fails, txn.symbolon stays unset, and the next rule denies.

local shown = { "cookie", "x-session-token", "authorization", "accept" }
local identity = { "x-user-id", "x-identity-id", "x-session-id", "x-auth-aal", "x-auth-email", "x-auth-assertion" }
local passed = { "content-type", "cache-control", "x-content-type-options", "location" }
local no = { [302] = true, [401] = true, [403] = true, [503] = true }

-- HAProxy numbers the values of a header from 0, Lua from 1.
local function all(headers, name)
  local values = {}
  while headers[name] and headers[name][#values] do
    table.insert(values, headers[name][#values])
  end
  return values
end

local function first(headers, name)
  return headers[name] and headers[name][0] or ""
end

local function question(txn)
  local client, headers = txn.http:req_get_headers(), {}
  for _, name in ipairs(shown) do
    headers[name] = all(client, name)
  end
  headers["x-forwarded-for"] = { txn.f:src() }
  -- For return_to. Symbolon uses them only from an address in serve.trusted_proxies.
  headers["x-forwarded-method"] = { txn.f:method() }
  headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  headers["x-forwarded-host"] = { first(client, "host") }
  headers["x-forwarded-uri"] = { txn.f:pathq() }
  return headers
end

core.register_action("symbolon", { "http-req" }, function(txn, url)
  txn:unset_var("txn.symbolon") -- it may be left from an earlier call
  local answer = core.httpclient():get({ url = url, headers = question(txn), timeout = 15000 })
  if answer.status == 200 then
    for _, name in ipairs(identity) do
      txn.http:req_set_header(name, first(answer.headers, name))
    end
    txn:set_var("txn.symbolon", "yes")
  elseif no[answer.status] then
    local reply = txn:reply({ status = answer.status, body = answer.body })
    for _, name in ipairs(passed) do
      if answer.headers[name] then
        reply:add_header(name, first(answer.headers, name))
      end
    end
    txn:done(reply)
  end
end, 1)
