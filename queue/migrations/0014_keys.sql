-- What dispatchers say of themselves: how far they send at all.

ALTER TABLE mailroom.dispatcher
    ADD COLUMN safety text; -- what its [safety] does, a sentence for people; NULL: nothing, as in production
