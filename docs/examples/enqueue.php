<?php
// What an ERP does with its mail, by PDO (Debian: php-pgsql). tables.sql stands for the ERP's own tables.

function query(PDO $db, string $sql, array $parameters = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($parameters);
    return $statement;
}

/** Commits what $work does; an exception rolls back. */
function transaction(PDO $db, callable $work)
{
    $db->beginTransaction();
    try {
        $result = $work();
        $db->commit();
        return $result;
    } catch (Throwable $error) {
        $db->rollBack();
        throw $error;
    }
}

/** The message's uid. It is sent if the transaction is committed, and only then. */
function enqueue(PDO $db, array $message): string
{
    return query($db, 'SELECT mailroom.enqueue(?)', [json_encode($message, JSON_THROW_ON_ERROR)])->fetchColumn();
}

function book_invoice(PDO $db, int $number, string $customer, string $pdf): string
{
    return transaction($db, function () use ($db, $number, $customer, $pdf) {
        $uid = enqueue($db, [
            'user' => 'ANNA',
            'to' => $customer,
            'subject' => "Your invoice $number",
            'text' => "Please find your invoice attached.\n",
            'document' => "invoice/$number",
            'attachments' => [['name' => "invoice $number.pdf", 'type' => 'application/pdf', 'content' => base64_encode($pdf)]],
        ]);
        query($db, 'INSERT INTO invoice (number, customer, mail) VALUES (?, ?, ?)', [$number, $customer, $uid]);
        return $uid;
    });
}

/** One message for each customer, all or none; the PDF that they share is stored once. Returns the uids. */
function remind(PDO $db, string $batch, array $customers, string $terms): array
{
    return transaction($db, function () use ($db, $batch, $customers, $terms) {
        $put = $db->prepare("SELECT mailroom.put_attachment('terms.pdf', 'application/pdf', ?)");
        $put->bindValue(1, $terms, PDO::PARAM_LOB);
        $put->execute();
        $defaults = ['form' => 'STATEMENT', 'batch' => $batch, 'subject' => 'A reminder', 'text' => "Please look at your statement.\n",
                     'attachments' => [json_decode($put->fetchColumn())]];
        $messages = array_map(fn ($customer) => ['to' => $customer, 'idempotency_key' => "$batch/$customer"], $customers);
        return query($db, 'SELECT unnest(mailroom.enqueue_many(?, ARRAY(SELECT jsonb_array_elements(?))))',
                     [json_encode($defaults, JSON_THROW_ON_ERROR), json_encode($messages, JSON_THROW_ON_ERROR)])->fetchAll(PDO::FETCH_COLUMN);
    });
}

/** Stores what became of the ERP's mail since the last call, each page together with its cursor. Returns how many. */
function read_outcomes(PDO $db): int
{
    $count = 0;
    do {
        $answer = transaction($db, function () use ($db) {
            $position = query($db, 'SELECT position FROM mail_cursor FOR UPDATE')->fetchColumn(); // one reader at a time
            $answer = json_decode(query($db, 'SELECT mailroom.outcomes(?, 1000)', [$position])->fetchColumn());
            foreach ($answer->outcomes as $outcome) {
                query($db, 'INSERT INTO mail_outcome (uid, event, at, told) VALUES (?, ?, ?, ?)',
                      [$outcome->uid, $outcome->event, $outcome->at, json_encode($outcome)]);
            }
            query($db, 'UPDATE mail_cursor SET position = ?', [$answer->cursor]);
            return $answer;
        });
        $count += count($answer->outcomes);
    } while ($answer->more);
    return $count;
}

/** What the server says of a refusal behind its first line. */
function detail(PDOException $error): string
{
    return preg_match('/^DETAIL: +(.*)$/m', $error->getMessage(), $found) ? $found[1] : '';
}

$db = new PDO($argv[1]); // "pgsql:host=db1;dbname=erp;user=erp"
$uid = book_invoice($db, 4711, 'Zoë Müller <zoe@customer.example>', '%PDF-1.4 ...');
$state = json_decode(query($db, 'SELECT mailroom.state(?)', [$uid])->fetchColumn());
echo "invoice 4711: $uid $state->state\n";
foreach ([4711 => 'zoe@customer.example', 4712 => 'nobody'] as $number => $customer) { // booked already; no address
    try {
        book_invoice($db, $number, $customer, '%PDF-1.4 ...');
    } catch (PDOException $error) { // neither booked nor sent
        echo "invoice $number: {$error->getCode()} ", detail($error), "\n";
    }
}
echo 'reminders: ', count(remind($db, 'reminders 2026-03', ['zoe@customer.example', 'ben@customer.example'], '%PDF-1.4 ...')), "\n";
echo 'cancel: ', query($db, 'SELECT mailroom.cancel(?)', [$uid])->fetchColumn(), "\n";
echo 'outcomes: ', read_outcomes($db), "\n";
