-- Logins and pairs that servers refused, with what they said.
SELECT 'login', fingerprint, reason, account, '' AS from_address, owner, server, reply FROM mailroom.refused_login
UNION ALL SELECT 'sender', NULL, mode, account, from_address, '', '', reply FROM mailroom.refused_sender WHERE until > clock_timestamp()
