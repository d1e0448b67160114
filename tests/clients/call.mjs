// One call of AWS's SDK for JavaScript: node call.mjs PACKAGE COMMAND INPUT (JSON); the answer as JSON.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS}/`);
const [name, command, input] = process.argv.slice(2);
const sdk = require(name);
const Client = Object.entries(sdk).find(([key]) => /^[A-Z0-9][A-Za-z0-9]*Client$/.test(key) && key !== "__Client")[1];
const answer = await new Client({}).send(new sdk[`${command}Command`](JSON.parse(input)));
console.log(JSON.stringify(answer));
