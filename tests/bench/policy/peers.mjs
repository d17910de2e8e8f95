// The engines that npm offers, on the cases that the policy engine left in a directory, with identical outcomes
// checked before anything is timed. Writes the figures of the whole benchmark.
//
//     node peers.mjs DIRECTORY OUTPUT.json
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const [directory, output] = process.argv.slice(2)
const require = createRequire(resolve(directory, 'package.json'))
const column = (name, Type) => {
	const raw = readFileSync(resolve(directory, name))
	return new Type(raw.buffer, raw.byteOffset, raw.byteLength / Type.BYTES_PER_ELEMENT)
}

const words = column('words.bin', BigUint64Array)
const owners = column('owners.bin', Uint32Array)
const outcomes = column('outcomes.bin', Uint8Array)
const people = column('people.bin', Uint8Array)
const n = words.length
const members = people.length / 4

// What each peer is told of an item: the same facts, unpacked, with delegations already resolved.
const NOW = 1700000000 - 86400
const EMBARGO = 7 * 86400
const RETENTION = 365 * 86400
const PASSES = new Set([1, 2, 3, 9]) // licences that may become CC-BY-4.0
const CREDIT = new Set([3, 4])
const item = i => {
	const low = Number(words[i] & 0xffffffffn)
	const owner = owners[i]
	const licence = low >>> 3 & 63
	return {
		kind: low & 7, licence, licence_known: licence !== 0, licence_passes: PASSES.has(licence), moderation: low >>> 9 & 3,
		pii: (low >>> 11 & 1) === 1, tombstoned: (low >>> 12 & 1) === 1, duplicate: (low >>> 16 & 1) === 1,
		credited: (low >>> 20 & 1) === 1 || !CREDIT.has(licence), created: Number(words[i] >> 32n),
		member: people[owner] === 1, consent: people[members + owner] === 1,
		train: people[2 * members + owner], search: people[3 * members + owner],
	}
}

// ---- Measuring

const statistics = (samples, unit) => {
	const sorted = [...samples].sort((a, b) => a - b)
	return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1), n: sorted.length, unit }
}
const figures = {}
const engine = JSON.parse(readFileSync(resolve(directory, 'engine.json'), 'utf8'))
for (const [name, { unit, samples }] of Object.entries(engine)) figures[name] = statistics(samples, unit)
figures.ratio_to_plain_loop = statistics(engine.ns_per_decision.samples.map((ns, i) => ns / engine.plain_loop_ns.samples[i]), 'times')

const check = (name, i, got, expected) => {
	if (got !== expected) throw new Error(`${name}: item ${i} is ${got}, the engine says ${expected}`)
}

function compare(name, nanoseconds) {
	figures[`${name}_ns`] = statistics(nanoseconds, 'ns')
	figures[`ratio_to_${name}`] = statistics(nanoseconds.map(ns => ns / figures.ns_per_decision.median), 'times')
}

const time = async (repeats, count, run) => {
	const samples = []
	for (let r = 0; r < repeats; r++) {
		const start = process.hrtime.bigint()
		await run()
		samples.push(Number(process.hrtime.bigint() - start) / count)
	}
	return samples
}

// ---- json-logic-engine, compiled: the outcome by nested conditions

async function jsonLogic() {
	const { LogicEngine } = require('json-logic-engine')
	const v = name => ({ var: name })
	const rule = {
		if: [
			{ or: [{ '==': [v('kind'), 6] }, { '==': [v('moderation'), 2] }, v('tombstoned'), v('duplicate'), { '!': v('consent') },
				{ '<=': [v('created'), NOW - RETENTION] }, { and: [v('licence_known'), { '!': v('licence_passes') }] },
				{ '==': [v('train'), 3] }, { '==': [v('search'), 3] }] }, 3,
			{ or: [{ '==': [v('moderation'), 0] }, v('pii'), { '!': v('member') }, { '>': [v('created'), NOW - EMBARGO] },
				{ '!': v('licence_known') }, { '!': v('credited') }, { '==': [v('train'), 2] }, { '==': [v('search'), 2] }] }, 2,
			{ or: [{ '==': [v('train'), 1] }, { '==': [v('search'), 1] }] }, 1, 0],
	}
	const decide = new LogicEngine().build(rule)
	const count = 200000
	const items = Array.from({ length: count }, (_, i) => item(i))
	items.forEach((it, i) => check('json-logic', i, decide(it), outcomes[i]))
	compare('json_logic', await time(7, count, () => { for (let i = 0; i < count; i++) decide(items[i]) }))
}

// ---- DuckDB, the rules as SQL, one thread, an outcome for every item

async function duckdb() {
	const { DuckDBInstance } = require('@duckdb/node-api')
	const db = await (await DuckDBInstance.create(':memory:')).connect()
	await db.run('SET threads = 1')
	const csv = (name, lines) => { const path = resolve(directory, name); writeFileSync(path, lines.join('\n') + '\n'); return path }
	const itemFile = csv('items.csv', Array.from({ length: n }, (_, i) => {
		const low = Number(words[i] & 0xffffffffn)
		return `${i},${owners[i]},${low & 7},${low >>> 3 & 63},${low >>> 9 & 3},${low >>> 11 & 1},${low >>> 12 & 1},${low >>> 16 & 1},${low >>> 20 & 1},${words[i] >> 32n}`
	}))
	const peopleFile = csv('members.csv', Array.from({ length: members }, (_, m) =>
		`${m},${people[m]},${people[members + m]},${people[2 * members + m]},${people[3 * members + m]}`))
	await db.run(`CREATE TABLE item AS SELECT * FROM read_csv('${itemFile}', header = false, columns = {'id': 'UINTEGER', 'owner': 'UINTEGER',
		'kind': 'UTINYINT', 'licence': 'UTINYINT', 'moderation': 'UTINYINT', 'pii': 'BOOLEAN', 'tombstoned': 'BOOLEAN', 'duplicate': 'BOOLEAN',
		'attributed': 'BOOLEAN', 'created': 'UINTEGER'})`)
	await db.run(`CREATE TABLE member AS SELECT * FROM read_csv('${peopleFile}', header = false, columns = {'id': 'UINTEGER', 'current': 'BOOLEAN',
		'consent': 'BOOLEAN', 'train': 'UTINYINT', 'search': 'UTINYINT'})`)
	await db.run('CREATE TABLE licence (id UTINYINT, passes BOOLEAN, credit BOOLEAN)')
	for (let l = 0; l < 18; l++) await db.run(`INSERT INTO licence VALUES (${l}, ${PASSES.has(l)}, ${CREDIT.has(l)})`)
	const sql = `CREATE OR REPLACE TABLE decided AS SELECT i.id, CASE
		WHEN i.kind = 6 OR i.moderation = 2 OR i.tombstoned OR i.duplicate OR NOT m.consent OR i.created <= ${NOW - RETENTION}
			OR (i.licence <> 0 AND NOT l.passes) OR m.train = 3 OR m.search = 3 THEN 3
		WHEN i.moderation = 0 OR i.pii OR NOT m.current OR i.created > ${NOW - EMBARGO} OR i.licence = 0 OR (l.credit AND NOT i.attributed)
			OR m.train = 2 OR m.search = 2 THEN 2
		WHEN m.train = 1 OR m.search = 1 THEN 1 ELSE 0 END::UTINYINT AS outcome
		FROM item i JOIN member m ON m.id = i.owner JOIN licence l ON l.id = i.licence`
	await db.run(sql)
	const rows = await (await db.runAndReadAll('SELECT id, outcome FROM decided')).getRows()
	if (rows.length !== n) throw new Error(`duckdb decided ${rows.length} of ${n}`)
	for (const [id, outcome] of rows) check('duckdb', id, outcome, outcomes[id])
	compare('duckdb', await time(5, n, () => db.run(sql)))
}

// ---- Cedar in WebAssembly: a permit and a forbid per rule, in or out with the policies that decided

async function cedar() {
	const { preparsePolicySet, statefulIsAuthorized } = require('@cedar-policy/cedar-wasm/nodejs')
	const rules = ['context.kind == 6', 'context.moderation != 1', 'context.tombstoned', 'context.duplicate', 'context.pii',
		'!context.consent', '!context.member', `context.created <= ${NOW - RETENTION}`, `context.created > ${NOW - EMBARGO}`,
		'!context.licence_passes', '!context.credited', 'context.train >= 2', 'context.search >= 2']
	const staticPolicies = Object.fromEntries(rules.map((r, i) => [`r${i}`, `forbid(principal, action, resource) when { ${r} };`]))
	staticPolicies.all = 'permit(principal, action, resource);'
	const parsed = preparsePolicySet('release', { staticPolicies })
	if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed))
	const request = i => ({
		principal: { type: 'Release', id: 'r' }, action: { type: 'Action', id: 'hold' }, resource: { type: 'Item', id: String(i) },
		context: item(i), preparsedPolicySetId: 'release', validateRequest: false, entities: [],
	})
	const count = 600
	const requests = Array.from({ length: count }, (_, i) => request(i))
	requests.forEach((r, i) => {
		const answer = statefulIsAuthorized(r)
		if (answer.type !== 'success') throw new Error(JSON.stringify(answer))
		check('cedar', i, answer.response.decision, outcomes[i] <= 1 ? 'allow' : 'deny')
	})
	compare('cedar', await time(5, count, () => { for (const r of requests) statefulIsAuthorized(r) }))
}

// ---- casbin, with explanations

async function casbin() {
	const { newEnforcer, newModelFromString, StringAdapter } = require('casbin')
	const model = newModelFromString(`[request_definition]
r = item, act
[policy_definition]
p = rule, act, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && eval(p.rule)`)
	const rules = ['r.item.kind == 6', 'r.item.moderation != 1', 'r.item.tombstoned', 'r.item.duplicate', 'r.item.pii', '!r.item.consent',
		'!r.item.member', `r.item.created <= ${NOW - RETENTION}`, `r.item.created > ${NOW - EMBARGO}`, '!r.item.licence_passes',
		'!r.item.credited', 'r.item.train >= 2', 'r.item.search >= 2']
	const policy = [...rules.map(r => `p, ${r}, release, deny`), 'p, true, release, allow'].join('\n')
	const enforcer = await newEnforcer(model, new StringAdapter(policy))
	const count = 2000
	const items = Array.from({ length: count }, (_, i) => item(i))
	for (let i = 0; i < count; i++) check('casbin', i, (await enforcer.enforceEx(items[i], 'release'))[0], outcomes[i] <= 1)
	compare('casbin', await time(5, count, async () => { for (const it of items) await enforcer.enforceEx(it, 'release') }))
}

for (const peer of [jsonLogic, duckdb, cedar, casbin]) await peer()
writeFileSync(output, JSON.stringify({ bench: 'policy', figures }, null, '\t') + '\n')
for (const [name, f] of Object.entries(figures))
	console.log(`${name.padEnd(22)} ${f.median.toPrecision(5).padStart(11)} ${f.unit.padEnd(6)} (${f.min.toPrecision(4)} to ${f.max.toPrecision(4)}, n ${f.n})`)
