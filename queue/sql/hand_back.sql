-- Hands back, untried, all that was leased to dispatcher $1 after $2 (epoch microseconds): it knows of none of these. Waits for a claim of it that the
-- server still works on; one that is still under way in the network takes nothing when it arrives, because it does not know of this. Nor does this
-- itself where it comes late: $3 is how often the dispatcher did so before. Returns how many, how many are left because somebody has them locked,
-- how often by now, and whether it did nothing because $3 was not up to date (an earlier one without an answer had worked).
SELECT h.moved, h.locked, h.times, h.too_late FROM mailroom.hand_back($1::bigint, timestamptz 'epoch' + $2::bigint * interval '1 microsecond', $3::integer) h
