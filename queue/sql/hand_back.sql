-- Hands back, untried, all that was leased to dispatcher $1 after $2 (epoch microseconds): it knows of none of these. Waits for a claim of it that the
-- server still works on. Returns how many, and how many are left because somebody has them locked.
SELECT h.moved, h.locked FROM mailroom.hand_back($1::bigint, timestamptz 'epoch' + $2::bigint * interval '1 microsecond') h
