-- What is known of Office 365 accounts, and what desktop agents reported.
SELECT 'account' AS what, owner, state, account, mailbox, array_to_json(aliases)::text AS list, lacks_sending_for_others AS remark FROM mailroom.account_status WHERE mode = 'office365'
UNION ALL SELECT 'agent', user_id, outlook, '', '', accounts::text, false FROM mailroom.desktop_agent
