-- Keeps what became of an SMTP login, for people. $1 owner, $2 its sealed password, $3 account, $4 server, $5 whether it succeeded, $6 the server's words.
INSERT INTO mailroom.account_status AS s (owner, mode, state, reason, account, proof)
VALUES ($1::integer, 'smtp', CASE WHEN $5::boolean THEN 'authenticated' ELSE 'sign_in_failed' END, $6, $3, mailroom.login_proof($2::bytea, $3, $4))
ON CONFLICT (owner, mode) DO UPDATE
   SET state = excluded.state, reason = excluded.reason, account = excluded.account, proof = excluded.proof, checked_at = clock_timestamp()
