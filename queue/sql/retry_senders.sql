-- Has one message of each pair of account and From whose time is over tried, or lets all go where one was accepted. Returns how many pairs these were.
SELECT mailroom.retry_senders()
