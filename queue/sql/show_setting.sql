-- The settings of General, or of one User, Row or Model, with where each value comes from.
SELECT mailroom.settings_shown($1::text, $2::text)::text
