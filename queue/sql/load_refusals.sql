-- Logins and pairs that servers refused.
SELECT 'login', fingerprint, reason, '' AS account, '' AS from_address FROM mailroom.refused_login
UNION ALL SELECT 'sender', NULL, mode, account, from_address FROM mailroom.refused_sender WHERE until > clock_timestamp()
