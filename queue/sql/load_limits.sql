-- What servers let accounts do.
SELECT server, login, messages_per_minute, connections, recipients_per_day FROM mailroom.limits
