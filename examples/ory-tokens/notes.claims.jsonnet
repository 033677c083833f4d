// The claims of a token. Kratos adds iss, sub, sid, jti, iat, nbf and exp itself.
local session = std.extVar('session');
local addresses = if 'verifiable_addresses' in session.identity then session.identity.verifiable_addresses else [];
local verified = [a.value for a in addresses if a.via == 'email' && a.verified];
{
  claims: {
    aud: 'notes',  // auth.jwt.audience: whom the token is for
    aal: session.authenticator_assurance_level,
    authenticated_at: session.authenticated_at,
    email_verified: std.length(verified) > 0,
    [if std.length(verified) > 0 then 'email']: verified[0],
  },
}
