-- General, with the version of all settings.
SELECT i.settings_version, g.edition, mailroom.default_user_mode(g), g.mode, g.account, g.from_address, g.server, g.port, g.use_ssl, g.login, g.allow_cleartext,
       g.user_server, g.user_port, g.user_use_ssl, g.user_login, g.user_allow_cleartext, g.send_as, g.password, g.token, i.key_id, g.version
  FROM mailroom.general g, mailroom.installation i
