-- What keeps dead rows of the queue from being removed: a name that stays the same for as long as the same thing does, a line for people, what to do, and
-- for how many seconds (NULL: this login may not see it) and transactions. Replication that keeps up, within 100 transactions, pins nothing worth telling.
SELECT concat_ws(' ', kind, subject, horizon) AS name, concat_ws(', ', kind || ' ' || subject, 'user ' || user_name, 'application ' || nullif(application_name, ''), state,
       'since ' || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), transactions || ' transactions ago') AS text,
       remedy, extract(epoch FROM clock_timestamp() - since)::bigint AS seconds, kind || ' ' || subject AS subject, transactions
  FROM mailroom.pins WHERE transactions > 100 OR kind NOT LIKE 'replication%'
