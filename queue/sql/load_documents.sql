-- All Rows and Models.
SELECT 'row', id, code, name, from_address, mode FROM mailroom.rows UNION ALL SELECT 'model', id, code, name, from_address, mode FROM mailroom.models
