#!/usr/bin/env python3
"""Compare the policy engine with the model on random worlds.

    differential.py DRIVER [--cases N] [--seed S]

A world is a release, its people and what they said; each of its items is a case. All reasons must agree
before and after the set rules. A failure prints the seed of its world and the smallest world found that
still differs; `--seed S --cases 1` repeats it.
"""
import argparse
import random
import struct
import subprocess
import sys
import time
from types import SimpleNamespace as Thing

import policy_model as model
from policy_model import BOARD, EVER, NEVER, NOBODY, NO_ITEM, SECOND

DAY = 86400 * SECOND
T0 = 1_700_000_000 * SECOND
ITEMS = 400


class World:
    """Everything random about one world comes from its seed."""

    def __init__(self, seed):
        self.seed = seed
        self.r = random.Random(seed)
        self.odd = self.r.random() < 0.25   # a quarter of the worlds hold values out of range
        self.calm = self.r.random() < 0.6   # most are worlds in which many items could be in
        self.delegating = self.r.random() < 0.4  # chains, and members who leave it to them
        self.n_members = self.r.randint(4, 14) if self.delegating else self.r.randint(1, 9)
        self.spec = self.a_spec()
        self.members = [self.a_member() for _ in range(self.n_members)]
        self.items = [self.an_item() for _ in range(ITEMS)]
        self.facts = self.some_facts()
        n = self.r.choice([0, 3, 10, 25, 40])
        self.statements = [self.a_statement() for _ in range(n // 4 if self.calm else n)]
        if self.calm:
            self.statements += [self.a_grant(m) for m in range(self.n_members)
                                if not self.delegating or self.r.random() < 0.2]
        if self.delegating:
            self.statements += [self.a_voice() for _ in range(self.r.randint(1, 4))]
        self.r.shuffle(self.statements)
        self.edges = [self.an_edge() for _ in range(self.r.choice([0, 0, 2, 6, 14]))]
        if self.delegating:
            self.edges += [self.a_plain_edge(m) for m in range(self.n_members) if self.r.random() < 0.8]
            self.r.shuffle(self.edges)
        self.board = self.r.random() < 0.7

    def rarely(self, p=0.01):
        return self.odd and self.r.random() < p

    def a_time(self):
        """Instants crowd around the cut-off and the instant, where mistakes would be."""
        r = self.r
        return r.choice([T0, T0 + DAY, T0 - DAY]) + r.choice([-1, 0, 1, -SECOND, SECOND, r.randint(-40, 40) * DAY // 8])

    def a_mask(self, n, often=0.5):
        return sum(1 << i for i in range(n) if self.r.random() < often)

    def a_statement(self, layer=None):
        r = self.r
        layer = r.choice([0, 1, 2, 2, 2, 3, 3, 4]) if layer is None else layer
        effect = r.choice([0, 3, 3]) if layer == 0 else r.choice([0, 1, 1, 1, 2, 2, 3])
        selector = 2 if layer == 1 or (layer == 0 and r.random() < 0.5) else r.choice([0, 0, 0, 1])
        subject = r.randrange(self.n_members)
        item = NO_ITEM
        if selector == 2 and self.facts:
            fact = r.choice(self.facts)
            item, subject = fact.item, fact.member
            if self.rarely(0.05):
                subject = r.randrange(self.n_members)
        elif selector == 2:
            item = r.randrange(ITEMS) if self.rarely() else NO_ITEM
            if item == NO_ITEM:
                layer, selector, effect = 2, 0, r.choice([1, 3])
        if layer == 3 and r.random() < 0.2:
            subject = BOARD
        if layer == 4:
            subject = r.randint(1, 3)
        s = Thing(id=r.randrange(1000), subject=subject, item=item,
                  uses=r.choice([self.spec.uses, self.a_mask(9) or 1, 1 << 5, 1 << r.randrange(9)]), duties=0,
                  effect=effect, layer=layer, selector=selector, kind=r.randrange(7),
                  purpose=r.choice([0, 0, 0, r.randrange(12)]), audience=r.choice([0, 0, 0, r.randrange(5)]),
                  flags=int(layer in (1, 2) and r.random() < 0.15), revision=r.choice([0, 0, 1]),
                  declared_at=self.a_time(), valid_from=EVER, valid_to=NEVER)
        if effect == 2:
            s.duties = self.a_mask(10, 0.2) or 1
        if r.random() < 0.2:
            s.valid_from = self.a_time()
        if r.random() < 0.2:
            s.valid_to = self.a_time()
        if s.valid_from >= s.valid_to and not self.rarely(0.3):
            s.valid_from, s.valid_to = EVER, NEVER
        if self.rarely():
            field, values = r.choice([("uses", [0, 512, 65535]), ("effect", [4, 255]), ("layer", [5, 6, 7, 200]),
                                      ("selector", [3, 99]), ("kind", [7, 255]), ("purpose", [12, 77]),
                                      ("audience", [5, 255]), ("flags", [1, 2, 128]), ("duties", [0, 1, 1024]),
                                      ("subject", [self.n_members, 0xFFFFFFFF, 0])])
            setattr(s, field, r.choice(values))
        return s

    def a_grant(self, member):
        s = self.a_statement(layer=2)
        s.uses = self.spec.uses | (15 if self.spec.uses & 32 else 0)
        s.effect, s.duties, s.flags, s.selector, s.item, s.purpose, s.audience = 1, 0, 0, 0, NO_ITEM, 0, 0
        s.subject, s.declared_at, s.valid_from, s.valid_to = member, T0 - 30 * DAY, EVER, NEVER
        if self.r.random() < 0.3:
            s.effect, s.duties = 2, self.a_mask(10, 0.2) or 1
        return s

    def a_voice(self):
        """Something a delegate says, of the few to whom many delegate."""
        s = self.a_grant(self.r.choice([BOARD] + 3 * list(range(min(4, self.n_members)))))
        s.layer, s.effect, s.declared_at = 3, self.r.choice([1, 1, 2, 3]), T0 - self.r.choice([DAY, 40 * DAY])
        s.duties = (self.a_mask(10, 0.2) or 1) if s.effect == 2 else 0
        return s

    def a_plain_edge(self, principal):
        """An edge that counts, to one of the few, or to the next in a chain or circle."""
        e = self.an_edge()
        few = [d for d in range(min(4, self.n_members)) if d != principal]
        e.principal, e.delegate = principal, self.r.choice(few * 2 + [(principal + 1) % self.n_members, BOARD])
        if e.delegate == principal:
            e.delegate = BOARD
        e.question, e.scope, e.topics = 1, 0, 511
        e.accepted_at = T0 - self.r.choice([20, 20, 21, 22]) * DAY
        e.starts, e.ends, e.revoked_at = EVER, NEVER, NEVER
        return e

    def seldom(self, p):
        return self.r.random() < (p / 6 if self.calm else p)

    def a_spec(self):
        r = self.r
        spec = Thing(uses=r.choice([1, 16, 17, 32, 64, self.a_mask(9) or 1]), uses_conditional=self.a_mask(9, 0.7),
                     audience_duties=r.choice([1023, 1023, self.a_mask(10)]), audience=r.randint(1, 4),
                     licence_mode=r.choice([0, 1, 1]), purposes=0, outputs=0,
                     kinds=r.choice([127, self.a_mask(7, 0.8) or 1]), depth=r.choice([1, 1, 2, 3, 8]),
                     cap=r.choice([0, 0, 1, 2, 3]), release_id=r.randint(1, 3), notice_min=r.choice([0, 1, 2]),
                     k_contributors=r.choice([0, 1, 2, 3, 9]), k_stratum=r.choice([0, 0, 1, 2, 3, 4]),
                     assurance=r.choice([0, 0, 0, 2, 6]), volume_cap=r.choice([2**64 - 1] * 3 + [0, 1, 7, 60, 300]),
                     cutoff=T0, instant=T0 + r.choice([0, 0, 1, DAY, 40 * DAY]), embargo=0, retention=0,
                     regions=[2**64 - 1] * 4, seed=r.randbytes(32), defaults=[], toggles=[], rules=[], nodes=[])
        for _ in range(r.choice([1, 1, 1, 2])):
            spec.purposes |= 1 << r.randint(1, 11)
        spec.outputs = sum(1 << o for o in r.sample(range(1, 13), r.choice([1, 1, 2, 4])))
        if self.calm:
            spec.outputs |= r.choice([1 << 3, 1 << 5, 1 << 3 | 1 << 4])
            spec.kinds = 127
        if spec.licence_mode == 0 and r.random() < 0.5:
            spec.outputs = r.choice([0, self.a_mask(18) & ~1])
        if self.seldom(0.3):
            spec.embargo = r.choice([1, SECOND, DAY, 10 * DAY, 2**62])
        if self.seldom(0.3):
            spec.retention = r.choice([DAY, 30 * DAY, 400 * DAY, 2**63 - 1])
        if self.seldom(0.2):
            spec.regions = [r.getrandbits(64) for _ in range(4)]
        self.spec = spec
        self.facts = []
        for _ in range(r.choice([0, 0, 1, 3, 6])):
            s = self.a_statement(layer=r.choice([5, 6]))
            s.flags, s.item = 0, NO_ITEM
            s.selector = min(s.selector, 1)
            if model.statement_sound(s):
                spec.defaults.append(s)
        for _ in range(r.choice([0, 0, 1, 2]) if self.seldom(1) else 0):
            since, until = sorted([self.a_time(), self.a_time()])
            until += 1
            kind = r.randrange(5)
            spec.toggles.append(Thing(kind=kind, kinds=self.a_mask(7, 0.8) or 1, uses=self.a_mask(9) or 1,
                                      cap=r.choice([1 if kind == 4 else 0, 5, 100]), since=r.choice([since, EVER]),
                                      until=r.choice([until, NEVER])))
        self.some_rules(spec)
        return spec

    def some_rules(self, spec):
        r = self.r
        widths = [3, 6, 2, 1, 1, 1, 1, 1, 1, 8, 32, 8, 8, 3, 3, 8, 16, 16]
        small = [a for a, w in enumerate(widths) if w <= 6]
        for _ in range(r.choice([0, 0, 1, 2, 3]) if self.seldom(1) else 0):
            base = len(spec.nodes)
            count = r.randint(1, 7)
            shape = []
            free = 1  # children are handed out in order, always after their parent
            for at in range(count):
                room = count - free
                if at < free and room > 0 and r.random() < 0.6:
                    op = r.choice([0, 1, 2])
                    n = 1 if op == 2 else r.randint(0, room)
                    shape.append((op, free, n))
                    free += n
                else:
                    shape.append((r.choice([3, 3, 3, 4]), 0, 0))
            for op, first, n in shape:
                attribute = r.choice(small) if op == 4 else r.randrange(18)
                width = widths[attribute]
                value = r.randrange(1 << width)
                if attribute == 10:
                    value = (self.a_time() // SECOND) & 0xFFFFFFFF
                elif r.random() < 0.5:
                    value = r.randrange(1 << min(width, 3))
                spec.nodes.append(Thing(op=op, attribute=attribute, compare=r.randrange(6), first=base + first, count=n,
                                        value=value, set=r.getrandbits(1 << width) if op == 4 else 0))
            spec.rules.append(Thing(uses=r.choice([511, self.a_mask(9) or 1, 32]), root=base, effect=r.choice([2, 3])))

    def a_member(self):
        r = self.r
        m = Thing(standing=1 if not self.seldom(0.6) else r.randrange(7),
                  consent=r.choice([4, 4, 5]) if not self.seldom(0.4) else r.randrange(10),
                  minor=int(self.seldom(0.1)), group=r.choice([0, 0, 1, 2, 3]),
                  notice=2 if not self.seldom(0.7) else r.randrange(3),
                  purposes=r.choice([1, 1, self.spec.purposes]) if not self.seldom(0.4) else self.a_mask(12),
                  consent_given=T0 - 9 * DAY,
                  consent_expires=NEVER, defaults_accepted=r.choice([T0 - DAY, NEVER]))
        if self.seldom(0.2):
            m.consent_given = self.a_time()
        if self.seldom(0.2):
            m.consent_expires = self.a_time()
        if r.random() < 0.3:
            m.defaults_accepted = self.a_time()
        if self.rarely(0.02):
            setattr(m, r.choice(["standing", "consent", "minor"]), r.choice([10, 255]))
        return m

    def an_item(self):
        r = self.r
        x = r.getrandbits(64)
        common = x & 3
        kind = (x >> 2) % 7 if common else 0
        licence = (3, 3, 1, (x >> 8) % 13)[common]
        moderation = 1 if x >> 16 & 15 else (x >> 20) % 3
        flags = (x >> 24) & (x >> 33) & (x >> 42) & 511 if common == 3 else 0
        high = (x >> 22) & (x >> 39) & (x >> 45) & 3 if common == 3 else 0
        attributed = 1 if x >> 52 & 15 else 0
        region = (x >> 30) & 255 if common == 2 else 0
        created = (self.a_time() if not x >> 56 & 3 else T0 - 9 * DAY) // SECOND
        nonsense = 0
        member = r.randrange(self.n_members)
        if self.odd and not x >> 57 & 63:
            what = r.randrange(5)
            if what == 0:
                kind = 7
            elif what == 1:
                licence = r.choice([18, 63, 13, 16])
            elif what == 2:
                moderation = 3
            elif what == 3:
                nonsense = 1
            else:
                member = r.choice([self.n_members, 0xFFFFFFFF])
        word = (kind | licence << 3 | moderation << 9 | flags << 11 | attributed << 20 | high << 21 | nonsense << 23 | region << 24
                | created << 32)
        more = r.getrandbits(64) & r.choice([0x0000_0000_0024_0707, 2**64 - 1]) & ~0xC00000
        names = ("PII_REVIEW", "TOMBSTONED", "ERASURE_PENDING", "RESTRICTED", "LEGAL_HOLD", "DUPLICATE_OF", "MINOR",
                 "SPECIAL_CATEGORY", "THIRD_PARTY", "CONSENT_WITHDRAWN", "EMBARGO_UNTIL")
        marks = flags | high << 9
        attributes = [kind, licence, moderation, flags & 1, flags >> 5 & 1, flags >> 6 & 1, flags >> 7 & 1, flags >> 8 & 1,
                      attributed, region, created, more & 255, more >> 8 & 255, more >> 16 & 7, more >> 19 & 7,
                      more >> 24 & 255, more >> 32 & 65535, more >> 48]
        return Thing(kind=kind, licence=licence, moderation=moderation, attributed=attributed, region=region,
                     created=created, nonsense=nonsense, member=member, word=word, more=more, stratum=x >> 40 & 3,
                     id=x.to_bytes(8, "little") * 2, attributes=attributes,
                     flags={names[i] for i in range(11) if marks >> i & 1} if marks else frozenset())

    def some_facts(self):
        r, facts = self.r, []
        for position in sorted(r.sample(range(ITEMS), r.choice([0, 2, 8, 20]))):
            item = self.items[position]
            f = Thing(item=position, member=item.member, kind=item.kind, embargo_until=EVER, retain_until=NEVER)
            if r.random() < 0.3:
                f.embargo_until = self.a_time()
            if r.random() < 0.2:
                f.retain_until = self.a_time()
            if self.rarely(0.1):
                setattr(f, *r.choice([("member", r.randrange(12)), ("kind", r.randrange(9))]))
            facts.append(f)
            if self.rarely(0.05):
                facts.append(f)
        r.shuffle(facts)
        return facts

    def an_edge(self):
        r, n = self.r, self.n_members
        principal = r.randrange(n)
        delegate = r.choice([d for d in range(n) if d != principal] * 4 + [BOARD, BOARD, NOBODY])
        scope = r.choice([0, 0, 1, 2])
        e = Thing(id=r.randrange(20), target=r.randint(1, 3), principal=principal, delegate=delegate,
                  topics=r.choice([511, self.a_mask(9) or 1, self.spec.uses]), question=r.choice([1] * 8 + [0]), scope=scope,
                  accepted_at=r.choice([T0 - 20 * DAY, T0 - 20 * DAY, self.a_time(), NEVER]), starts=EVER, ends=NEVER,
                  revoked_at=NEVER)
        if r.random() < 0.15:
            e.ends = self.a_time()
        if r.random() < 0.1:
            e.starts = self.a_time() - DAY
        if r.random() < 0.15:
            e.revoked_at = self.a_time()
        if e.starts >= e.ends and not self.rarely(0.5):
            e.starts, e.ends = EVER, NEVER
        if self.rarely():
            setattr(e, *r.choice([("principal", 99), ("delegate", principal), ("delegate", 50), ("scope", 3), ("topics", 0),
                                  ("question", 2)]))
        return e

    # -- as bytes for the driver

    STATEMENT = struct.Struct("<QIIHHBBBBBBBIqqq")
    SPEC = struct.Struct("<HHHBBIIBBIQIIIIQqqqq4Q32s4H")
    MEMBER = struct.Struct("<BBBIIIqqq")
    EDGE = struct.Struct("<QQIIIBBqqqq")
    FACT = struct.Struct("<IIBqq")
    ITEM = struct.Struct("<QQIH16s")

    def packed(self):
        s = self.spec
        out = [b"W", self.SPEC.pack(s.uses, s.uses_conditional, s.audience_duties, s.audience, s.licence_mode, s.purposes,
                                    s.outputs, s.kinds, s.depth, s.cap, s.release_id, s.notice_min, s.k_contributors,
                                    s.k_stratum, s.assurance, s.volume_cap, s.cutoff, s.instant, s.embargo, s.retention,
                                    *s.regions, s.seed, len(s.defaults), len(s.toggles), len(s.rules), len(s.nodes))]

        def said(statements):
            for x in statements:
                out.append(self.STATEMENT.pack(x.id, x.subject, x.item, x.uses, x.duties, x.effect, x.layer, x.selector,
                                               x.kind, x.purpose, x.audience, x.flags, x.revision, x.declared_at,
                                               x.valid_from, x.valid_to))
        said(s.defaults)
        for t in s.toggles:
            out.append(struct.pack("<BBHQqq", t.kind, t.kinds, t.uses, t.cap, t.since, t.until))
        for x in s.rules:
            out.append(struct.pack("<HHB", x.uses, x.root, x.effect))
        for n in s.nodes:
            out.append(struct.pack("<BBBHHqQ", n.op, n.attribute, n.compare, n.first, n.count, n.value, n.set))
        out.append(struct.pack("<5HB", len(self.members), len(self.statements), len(self.edges), len(self.facts),
                               len(self.items), self.board))
        for m in self.members:
            out.append(self.MEMBER.pack(m.standing, m.consent, m.minor, m.group, m.notice, m.purposes, m.consent_given,
                                        m.consent_expires, m.defaults_accepted))
        said(self.statements)
        for e in self.edges:
            out.append(self.EDGE.pack(e.id, e.target, e.principal, e.delegate, e.topics, e.question, e.scope, e.accepted_at,
                                      e.starts, e.ends, e.revoked_at))
        for f in self.facts:
            out.append(self.FACT.pack(f.item, f.member, f.kind, f.embargo_until, f.retain_until))
        for i in self.items:
            out.append(self.ITEM.pack(i.word, i.more, i.member, i.stratum, i.id))
        return b"".join(out)

    def answers(self):
        """What the model says: reasons as bits, before and after the set rules."""
        m = model.World(self.spec, self.members, self.statements, self.edges, self.facts, self.board)
        decisions = [m.decide(i, item) for i, item in enumerate(self.items)]
        before = [model.bits(d) for d in decisions]
        model.set_rules(self.spec, self.items, decisions)
        return before, [model.bits(d) for d in decisions]


def ask(driver, worlds):
    run = subprocess.run([driver], input=b"".join(w.packed() for w in worlds), capture_output=True, check=False)
    if run.returncode:
        sys.exit(f"driver failed: {run.stderr.decode(errors='replace')[:4000]}\nseeds {[w.seed for w in worlds]}")
    at, answers = 0, []
    for w in worlds:
        status, at = run.stdout[at], at + 1
        if status:
            answers.append(None)
            continue
        n = len(w.items)
        both = struct.unpack_from(f"<{2 * n}Q", run.stdout, at)
        at += 16 * n
        answers.append((list(both[0::2]), list(both[1::2])))
    return answers


def differing(world, answer):
    """(position, before or after, engine, model) of the first difference, or None."""
    expected = world.answers()
    if answer is None:
        return (0, "compile", 0, 0)
    for i in range(len(world.items)):
        for stage in (0, 1):
            if answer[stage][i] != expected[stage][i]:
                return (i, ("deciding", "set rules")[stage], answer[stage][i], expected[stage][i])
    return None


def shrink(driver, world):
    """Leave out parts as long as something still differs."""
    def still():
        return differing(world, ask(driver, [world])[0])
    for owner, name in ((world, "statements"), (world, "edges"), (world.spec, "defaults"), (world.spec, "toggles"),
                        (world.spec, "rules")):
        for i in reversed(range(len(getattr(owner, name)))):
            kept = list(getattr(owner, name))
            setattr(owner, name, kept[:i] + kept[i + 1:])
            if not still():
                setattr(owner, name, kept)


def names(mask):
    return " ".join(r for r in model.REASONS if mask & model.BIT[r]) or "none"


def report(driver, world):
    shrink(driver, world)
    i, stage, engine, expected = differing(world, ask(driver, [world])[0])
    item = world.items[i]
    print(f"DIFFERS seed {world.seed} item {i} at {stage}\n  engine {names(engine)}\n  model  {names(expected)}")
    print(f"  item {item}")
    if item.member < len(world.members):
        print(f"  member {world.members[item.member]}")
    for s in world.statements + world.spec.defaults:
        print(f"  said {s}")
    for e in world.edges:
        print(f"  edge {e}")
    print(f"  spec uses {world.spec.uses} purposes {world.spec.purposes} audience {world.spec.audience} "
          f"depth {world.spec.depth} cap {world.spec.cap} instant +{world.spec.instant - world.spec.cutoff}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("driver")
    p.add_argument("--cases", type=int, default=1_000_000)
    p.add_argument("--seed", type=int, default=20261122)
    args = p.parse_args()
    worlds = max(1, args.cases // ITEMS)
    print(f"policy model: seeds {args.seed} to {args.seed + worlds - 1}, {ITEMS} items each")
    passed = failed = held = 0
    seen = 0
    started = time.monotonic()
    for base in range(args.seed, args.seed + worlds, 50):
        batch = [World(s) for s in range(base, min(base + 50, args.seed + worlds))]
        for world, answer in zip(batch, ask(args.driver, batch)):
            if differing(world, answer):
                failed += 1
                if failed <= 3:
                    report(args.driver, world)
                continue
            passed += len(world.items)
            for r in answer[1]:
                seen |= r
                held += r != 0
    foreign = [r for r in model.REASONS if r in model.OF_JOINT_RELEASES and seen & model.BIT[r]]
    missing = [r for r in model.REASONS if r not in model.OF_JOINT_RELEASES and not seen & model.BIT[r]]
    if worlds >= 500 and missing:
        failed += 1
        print("never produced:", *missing)
    if foreign:
        failed += 1
        print("not for the engine to say:", *foreign)
    print(f"{passed} cases in {time.monotonic() - started:.0f} s, {passed - held} of them without any reason")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
