// Rows in batches, one INSERT ... ON CONFLICT DO NOTHING each: how a runbook's script loads history.
// node insert.js URL FILE TABLE BATCH; prints {"seconds": ...}: from the first byte to the last commit.
const fs = require("fs");
const readline = require("readline");
const { Client } = require("pg");

const [url, file, table, size] = process.argv.slice(2);
const COLUMNS = [
  "event_id", "created_at", "event_type", "user_id", "session_id", "course_id", "lesson_id", "module_id",
  "user_agent", "payload",
];
const BATCH = Number(size);

async function insert(client, rows) {
  const places = rows.map((_, row) => `(${COLUMNS.map((_, column) => `$${row * COLUMNS.length + column + 1}`)})`);
  const values = rows.flatMap((row) =>
    COLUMNS.map((name) => (name === "payload" ? JSON.stringify(row.payload) : row[name])),
  );
  await client.query(
    `INSERT INTO ${table} (${COLUMNS.join(", ")}) VALUES ${places.join(", ")} ON CONFLICT DO NOTHING`,
    values,
  );
}

async function main() {
  const client = new Client({ connectionString: url });
  await client.connect();
  const began = process.hrtime.bigint();
  let rows = [];
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    rows.push(JSON.parse(line));
    if (rows.length === BATCH) {
      await insert(client, rows);
      rows = [];
    }
  }
  if (rows.length) await insert(client, rows);
  console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9 }));
  await client.end();
}

main();
