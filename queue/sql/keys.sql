-- Which keys there are, as JSON: mailroom.keys().
SELECT mailroom.keys()::text
