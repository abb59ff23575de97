<?php
// Makes and checks password hashes with PHP. As peer.py, one JSON object a line.
$make = [
    'bcrypt' => fn($p) => password_hash($p, PASSWORD_BCRYPT, ['cost' => 5]),
    'argon2i' => fn($p) => password_hash($p, PASSWORD_ARGON2I, ['memory_cost' => 1024, 'time_cost' => 2, 'threads' => 1]),
    'argon2id' => fn($p) => password_hash($p, PASSWORD_ARGON2ID, ['memory_cost' => 1024, 'time_cost' => 2, 'threads' => 1]),
    'md5crypt' => fn($p) => crypt($p, '$1$' . bin2hex(random_bytes(4)) . '$'),
    'sha256crypt' => fn($p) => crypt($p, '$5$rounds=2000$' . bin2hex(random_bytes(8)) . '$'),
    'sha512crypt' => fn($p) => crypt($p, '$6$rounds=2000$' . bin2hex(random_bytes(8)) . '$'),
    'md5suffix' => function ($p) { $s = bin2hex(random_bytes(16)); return md5($p . $s) . ':' . $s; },
];
$check = [
    'md5suffix' => function ($p, $h) { [$d, $s] = explode(':', $h); return hash_equals($d, md5($p . $s)); },
];
while (($line = fgets(STDIN)) !== false) {
    $ask = json_decode($line, true);
    $name = substr($ask['scheme'], 4);
    if ($ask['do'] === 'make') {
        $answer = $make[$name]($ask['password']);
    } elseif (isset($check[$name])) {
        $answer = $check[$name]($ask['password'], $ask['hash']);
    } else {
        $answer = password_verify($ask['password'], $ask['hash']);
    }
    echo json_encode($answer), "\n";
}
