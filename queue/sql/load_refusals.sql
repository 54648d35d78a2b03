-- Logins and pairs that servers refused, with what they said; of a pair which message is tried although it is refused.
SELECT 'login', fingerprint, reason, account, '' AS from_address, owner, server, reply, NULL AS trial FROM mailroom.refused_login
UNION ALL SELECT 'sender', NULL, mode, account, from_address, '', '', reply, trial_uid::text FROM mailroom.refused_sender WHERE NOT tried_again
