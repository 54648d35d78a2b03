-- All Users.
SELECT id, code, name, enabled, email, mode, account, from_address, server, port, use_ssl, login, allow_cleartext, send_as, password, token, version FROM mailroom.users
