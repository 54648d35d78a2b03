-- Empties one generation of the ring $1 that is past its retention of $2 milliseconds. Which; NULL: none.
SELECT mailroom.empty_generation($1, $2::bigint * interval '1 millisecond')
