-- Opens the next generation of the ring $1 when it is time, by a retention of $2 milliseconds. Which (NULL: none), and whether it was time but none is empty.
SELECT opened, stuck FROM mailroom.turn_ring($1, $2::bigint * interval '1 millisecond')
