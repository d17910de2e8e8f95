"""A slow model of the policy engine, written from the design pages and not from the C.

It shares no code, table or algorithm with policy/: chains are followed step by step, layers are lists,
reasons are names in sets. Its licence matrix is typed in again from the reference. Where the engine packs
and precomputes, this looks everything up each time it is asked.
"""
import hashlib

NEVER = 2**63 - 1
EVER = -(2**63)
SECOND = 1_000_000
BOARD, NOBODY = 0xFFFFFFFE, 0xFFFFFFFD
NO_ITEM = 0xFFFFFFFF

USES = ["train.gen", "train.other", "infer.system", "infer.user", "search", "mine", "eval", "redistribute", "aggregate"]
MINED = {0, 1, 2, 3}
MINE, EVAL = 5, 6
# purpose: parents
PURPOSES = {0: [], 1: [0], 2: [1], 3: [1], 4: [0], 5: [2, 4], 6: [0], 7: [1, 6], 8: [0], 9: [8], 10: [8], 11: [0]}
NONE, ALLOW, ALLOW_IF, DENY = range(4)
LAW, ITEM, SUBJECT, DELEGATE, SUBGROUP, COOP, FEDERATION = range(7)
EVERYTHING, BY_KIND, BY_ITEM = range(3)
APPLIED, ACTIVE, DUE, GRACE, LAPSED, LEFT, REMOVED = range(7)

EXCLUDING = {"TOMBSTONED", "ERASURE_PENDING", "CONSENT_WITHDRAWN", "PREF_DENY", "LIC_INCOMPATIBLE", "KIND_NOT_ACCEPTED",
             "RETENTION_PASSED", "REGION", "MODERATION_REJECTED", "DUPLICATE_OF", "TOGGLE_SHIFT", "CHARTER_DENY"}
REASONS = ["TOMBSTONED", "ERASURE_PENDING", "RESTRICTED", "LEGAL_HOLD", "MEMBERSHIP_LAPSED", "CONSENT_MISSING",
           "CONSENT_EXPIRED", "CONSENT_WITHDRAWN", "CONSENT_NOTICE_SUPERSEDED", "PURPOSE_NOT_COVERED",
           "DELEGATION_EXPIRED", "DELEGATION_REVOKED", "DELEGATION_SCOPE", "DELEGATION_CYCLE", "DELEGATION_DEPTH",
           "DELEGATION_CAP", "PREF_DENY", "PREF_UNKNOWN", "PREF_CONDITION_UNMET", "LIC_UNKNOWN", "LIC_INCOMPATIBLE",
           "LIC_WAIVER", "LIC_REVIEW", "ATTRIBUTION_MISSING", "KIND_NOT_ACCEPTED", "EMBARGO_UNTIL", "RETENTION_PASSED",
           "REGION", "MINOR", "SPECIAL_CATEGORY", "PII_REVIEW", "MODERATION_PENDING", "MODERATION_REJECTED",
           "DUPLICATE_OF", "TOGGLE_FREEZE", "TOGGLE_EMBARGO", "TOGGLE_SHIFT", "TOGGLE_CAP", "ASSURANCE_UNMET", "K_MIN",
           "AFTER_CUTOFF", "AUDIENCE_DUTY", "ENGINE_ERROR", "THIRD_PARTY", "CHARTER_DENY", "CHARTER_HOLD",
           "PREF_CONDITIONAL", "PARTNER_DIFFERS"]
# Given by what is laid over the engine's answer, never by the engine.
OF_JOINT_RELEASES = {"PARTNER_DIFFERS"}
BIT = {name: 1 << i for i, name in enumerate(REASONS)}


def outcome(reasons):
    """EXCLUDE 3, HOLD 2, CONDITIONAL 1, INCLUDE 0."""
    if reasons & EXCLUDING:
        return 3
    if reasons - {"PREF_CONDITIONAL"}:
        return 2
    return 1 if reasons else 0


def bits(reasons):
    return sum(BIT[r] for r in reasons)


# ---- Licences: the matrix of the reference, typed again ------------------------------------------------------

UNKNOWN, CC0, PDDL, BY, BYSA, BYNC, BYNCSA, ODCBY, ODBL, CDLAP, CDLAS, ETALAB, OGL, CUDA, BYND, BYNCND, RAIL, NOODL = range(18)
COLUMNS = [(CC0, PDDL), (BY,), (BYSA,), (BYNC,), (BYNCSA,), (ODCBY,), (ODBL,), (CDLAP,), (CDLAS,)]
MATRIX = {
    CC0: "+++++++++", PDDL: "+++++++++", CDLAP: "TTTTTTT+T", OGL: "xAAAAAAA?", ETALAB: "xAA??AAA?", BY: "x+AAALWA?",
    ODCBY: "xL?xx+?L?", BYSA: "xx+xxxxxx", BYNC: "xxx+Axxxx", BYNCSA: "xxxx+xxxx", ODBL: "xxxxxx+xx", CDLAS: "xxxxxxxx+",
}
NEEDS_CREDIT = {BY, BYSA, BYNC, BYNCSA, ODCBY, ODBL, ETALAB, OGL, CUDA, BYND, BYNCND, RAIL, NOODL}
DO_NOT_SHARE = {RAIL, NOODL}


def cell(original, output):
    if original not in MATRIX or not CC0 <= output <= OGL:
        return "x"
    if output in (ETALAB, OGL):  # take only the public domain and themselves; all else a person must judge
        return "+" if original in (CC0, PDDL, output) else "?"
    for mark, outputs in zip(MATRIX[original], COLUMNS):
        if output in outputs:
            return mark
    raise AssertionError


def may_become(original, output):
    return cell(original, output) in "+ATL"


# ---- Soundness -----------------------------------------------------------------------------------------------

def statement_sound(s):
    if not (0 < s.uses < 512 and s.effect < 4 and s.layer < 7 and s.selector < 3 and s.purpose < 12 and s.audience < 5
            and s.flags < 2 and s.valid_from < s.valid_to):
        return False
    if s.selector == BY_KIND and s.kind >= 7:
        return False
    if s.effect == ALLOW_IF and not 0 < s.duties < 1024:
        return False
    if s.effect != ALLOW_IF and s.duties:
        return False
    if s.layer == LAW and s.effect not in (NONE, DENY):
        return False
    if (s.selector == BY_ITEM) != (s.item != NO_ITEM):
        return False
    if s.layer == ITEM and s.selector != BY_ITEM:
        return False
    if s.selector == BY_ITEM and s.layer not in (LAW, ITEM):
        return False
    return not (s.flags and s.layer not in (ITEM, SUBJECT))


def member_sound(m):
    return m.standing < 7 and m.consent < 10 and m.minor < 2 and m.purposes < 4096


def above(purpose):
    found, todo = set(), [purpose]
    while todo:
        p = todo.pop()
        found.add(p)
        todo += PURPOSES[p]
    return found


ABOVE = {p: above(p) for p in PURPOSES}
BELOW = {p: {q for q in PURPOSES if p in ABOVE[q]} for p in PURPOSES}


def members_of(mask):
    return {i for i in range(64) if mask >> i & 1}


def with_children(uses):
    return uses | MINED if MINE in uses else uses


# ---- The world -------------------------------------------------------------------------------------------------

class World:
    """One release: specification, people, what they said. Answers for one item at a time."""

    def __init__(self, spec, members, statements, edges, facts, board):
        self.spec, self.members, self.edges, self.board = spec, members, edges, board
        self.uses = with_children(members_of(spec.uses))
        self.purposes = members_of(spec.purposes)
        self.times = [spec.cutoff] if spec.cutoff == spec.instant else [spec.cutoff, spec.instant]
        self.everyone_faulty = False
        self.faulty_members = {i for i, m in enumerate(members) if not member_sound(m)}
        self.faulty_delegates = set()
        self.statements = []
        for s in statements:
            if statement_sound(s) and self.author_exists(s):
                self.statements.append(s)
            else:
                self.blame(s)
        for e in edges:
            if e.question != 0 and not (e.question == 1 and self.edge_sound(e)):
                if e.principal < len(members):
                    self.faulty_members.add(e.principal)
                else:
                    self.everyone_faulty = True
        self.consent_edges = [e for e in edges if e.question == 1 and self.edge_sound(e)]
        self.any_edges = any(e.question != 0 for e in edges)
        self.defaults = list(spec.defaults)
        self.facts = {}
        self.faulty_items = set()
        for f in facts:
            if f.item in self.facts or f.member >= len(members) or f.kind >= 7:
                self.faulty_items.add(f.item)
            self.facts.setdefault(f.item, f)
        for s in self.statements:
            if s.selector == BY_ITEM:
                fact = self.facts.get(s.item)
                if fact is None or fact.member != s.subject:
                    self.faulty_items.add(s.item)
        self.said_by = {}
        for s in self.statements:
            self.said_by.setdefault(self.author(s), []).append(s)
        self.chains = {}
        self.rows = {}
        self.effects_memo = {}

    def author_exists(self, s):
        if s.layer in (LAW, ITEM, SUBJECT):
            return s.subject < len(self.members)
        if s.layer == DELEGATE:
            return s.subject < len(self.members) or s.subject == BOARD
        return s.layer == SUBGROUP and s.subject != 0

    def blame(self, s):
        if s.layer in (LAW, ITEM, SUBJECT) and s.subject < len(self.members):
            self.faulty_members.add(s.subject)
        elif s.layer == DELEGATE and (s.subject < len(self.members) or s.subject == BOARD):
            self.faulty_delegates.add(s.subject)
        else:
            self.everyone_faulty = True

    def edge_sound(self, e):
        n = len(self.members)
        return (e.principal < n and e.delegate != e.principal and (e.delegate < n or e.delegate in (BOARD, NOBODY))
                and e.scope < 3 and not (e.scope == 1 and e.topics == 0) and e.starts < e.ends)

    @staticmethod
    def author(s):
        if s.selector == BY_ITEM:
            return ("item", s.item)
        if s.layer in (LAW, SUBJECT):
            return ("member", s.subject)
        return ("delegate" if s.layer == DELEGATE else "group", s.subject)

    # -- statements that count

    @staticmethod
    def in_force(s, at):
        return s.declared_at <= at and s.valid_from <= at < s.valid_to

    @staticmethod
    def spoken(s):
        return with_children(members_of(s.uses)) if s.effect in (DENY, NONE) else members_of(s.uses)

    @staticmethod
    def matter(s):
        return (s.layer, s.selector, s.kind if s.selector == BY_KIND else None, s.item, s.purpose, s.audience, s.flags)

    def live(self, said, use, at):
        """Statements in force about a use that no later one of the same author and matter replaces."""
        force = [s for s in said if self.in_force(s, at) and use in self.spoken(s)]
        return [s for s in force if s.flags or not any(
            self.matter(o) == self.matter(s) and (o.declared_at, o.revision) > (s.declared_at, s.revision) for o in force)]

    def counts(self, s, purpose, kind):
        if s.effect == NONE or (s.selector == BY_KIND and s.kind != kind):
            return False
        denies = s.effect == DENY
        if s.purpose not in (ABOVE[purpose] | BELOW[purpose] if denies else ABOVE[purpose]):
            return False
        if s.audience == 0:
            return True
        return self.spec.audience >= s.audience if denies else self.spec.audience <= s.audience

    # -- delegations

    def active(self, member):
        return self.members[member].standing in (ACTIVE, DUE, GRACE)

    def has_voice(self, who, use, at):
        if who in self.faulty_delegates:
            return True
        return any(s.effect != NONE for s in self.live(self.said_by.get(("delegate", who), []), use, at))

    def edge_for(self, member, use, at):
        """The effective edge, and why the best one that does not count does not."""
        best, dropped = None, None
        for e in self.consent_edges:
            if e.principal != member:
                continue
            covers = e.scope == 0 or (e.scope == 1 and e.topics >> use & 1) or (e.scope == 2 and e.target == self.spec.release_id)
            key = (e.scope, e.accepted_at, e.id)
            why = None
            if e.revoked_at <= at:
                why = "REVOKED"
            elif not e.starts <= at < e.ends:
                why = "EXPIRED"
            elif e.accepted_at > at:
                why = "UNACCEPTED"
            elif e.delegate == BOARD and not self.board:
                why = "EXPIRED"
            elif not self.active(member) or (e.delegate < len(self.members) and not self.active(e.delegate)):
                why = "EXPIRED"
            if why and not covers:
                continue
            if not why and not covers:
                why = "SCOPE"
            if not why:
                if best is None or key > best[0]:
                    best = (key, e)
            else:
                rank = (why != "SCOPE", key)
                if dropped is None or rank > dropped[0]:
                    dropped = (rank, why)
        return (best and best[1]), (dropped and dropped[1])

    def delegation(self, use, at):
        """For every member: (what became of it, who decided, the effective edge, why an edge was dropped)."""
        if (use, at) in self.chains:
            return self.chains[use, at]
        n = len(self.members)
        edges = [self.edge_for(m, use, at) for m in range(n)]
        voices = {m for m in range(n) if self.has_voice(m, use, at)}
        if self.has_voice(BOARD, use, at):
            voices.add(BOARD)
        result, trails = [], {}
        for m in range(n):
            edge, dropped = edges[m]
            if edge is None:
                result.append(["NONE", None, None, dropped])
                continue
            if edge.delegate == NOBODY:
                result.append(["NOBODY", None, edge, dropped])
                continue
            trail, who, seen, end = [edge], edge.delegate, set(), None
            while end is None:
                if who in voices:
                    end = "DECIDED" if who != m else "CYCLE"
                elif who == BOARD:
                    end = "SILENT"
                elif who in seen:
                    end = "CYCLE"
                else:
                    seen.add(who)
                    nxt = edges[who][0]
                    if nxt is None or nxt.delegate == NOBODY:
                        end = "SILENT"
                    else:
                        trail.append(nxt)
                        who = nxt.delegate
            if end != "CYCLE" and len(trail) > self.spec.depth:
                end = "DEPTH"
            result.append([end, who if end == "DECIDED" else None, edge, dropped])
            trails[m] = trail
        if self.spec.cap:
            for decider in {r[1] for r in result if r[0] == "DECIDED" and r[1] != BOARD}:
                line = [m for m in range(n) if result[m][0] == "DECIDED" and result[m][1] == decider]
                line.sort(key=lambda m: (max((e.accepted_at, e.id) for e in trails[m]), len(trails[m]),
                                         (trails[m][0].accepted_at, trails[m][0].id), m))
                for m in line[self.spec.cap:]:
                    result[m][0:2] = ["CAP", None]
        self.chains[use, at] = result
        return result

    # -- one use

    def hear(self, member, kind, item, use, purpose, at):
        """Counting statements by layer, and denials from outside."""
        m = self.members[member]
        said = list(self.live(self.said_by.get(("member", member), []), use, at))
        if item is not None:
            said += self.live(self.said_by.get(("item", item), []), use, at)
        if self.any_edges and m.standing != GRACE:
            what, who, _, _ = self.delegation(use, at)[member]
            if what == "DECIDED":
                said += self.live(self.said_by.get(("delegate", who), []), use, at)
        if m.group:
            said += self.live(self.said_by.get(("group", m.group), []), use, at)
        if m.defaults_accepted <= at and m.standing != GRACE:
            said += self.live(self.defaults, use, at)
        said = [s for s in said if self.counts(s, purpose, kind)]
        layers = {l: [s for s in said if s.layer == l and not s.flags] for l in range(7)}
        outside = [s for s in said if s.flags and s.effect == DENY]
        if layers[SUBJECT]:  # the member's later act wins at once over what the delegate said before
            own = max(s.declared_at for s in layers[SUBJECT])
            layers[DELEGATE] = [s for s in layers[DELEGATE] if s.declared_at > own]
        return layers, outside

    @staticmethod
    def strictest(said):
        effect = max(s.effect for s in said)
        duties = 0
        if effect == ALLOW_IF:
            for s in said:
                duties |= s.duties
        return effect, duties

    def effect(self, member, kind, item, use, purpose, at):
        """(effect, duties, reasons of the delegation gate) of one use for one purpose."""
        layers, outside = self.hear(member, kind, item, use, purpose, at)
        effect, duties = self.settle(layers, outside)
        return effect, duties, self.chain_reasons(member, use, at, effect, bool(layers[ITEM] or layers[SUBJECT]))

    def settle(self, layers, outside):
        for l in (LAW, ITEM, SUBJECT):
            if any(s.effect == DENY for s in layers[l]):
                return DENY, 0
        if outside:
            lifts = [s.declared_at for s in layers[ITEM]]
            if not lifts or max(lifts) <= max(s.declared_at for s in outside):
                return DENY, 0
        if layers[ITEM]:
            return self.strictest(layers[ITEM])
        if layers[SUBJECT]:
            effect, duties = self.strictest(layers[SUBJECT])
            if layers[DELEGATE]:
                theirs, more = self.strictest(layers[DELEGATE])
                if theirs in (DENY, ALLOW_IF):
                    return theirs, duties | more
            return effect, duties
        for l in (DELEGATE, SUBGROUP, COOP, FEDERATION):
            if layers[l]:
                return self.strictest(layers[l])
        return NONE, 0

    def chain_reasons(self, member, use, at, effect, spoke):
        if not self.any_edges:
            return set()
        what, who, edge, dropped = self.delegation(use, at)[member]
        if self.members[member].standing == GRACE:
            return {"DELEGATION_EXPIRED"} if effect == NONE and edge is not None else set()
        if what == "DECIDED" and who in self.faulty_delegates:
            return {"ENGINE_ERROR"}
        reasons = set()
        if what in ("CYCLE", "DEPTH", "CAP") and not spoke:
            reasons.add("DELEGATION_" + what)
        if effect == NONE and edge is None and dropped in ("EXPIRED", "REVOKED", "SCOPE"):
            reasons.add("DELEGATION_" + dropped)
        return reasons

    # -- a member's side

    def consent(self, m):
        spec = self.spec
        if m.consent in (3, 6, 7):
            return {"CONSENT_WITHDRAWN"}
        if m.consent == 8:
            return {"CONSENT_EXPIRED"}
        if m.consent not in (4, 5):
            return {"CONSENT_MISSING"}
        reasons = set()
        if m.consent_given > spec.instant:
            reasons.add("CONSENT_MISSING")
        elif m.consent_given > spec.cutoff:
            reasons |= {"CONSENT_MISSING", "AFTER_CUTOFF"}
        if m.consent_expires <= spec.instant:
            reasons.add("CONSENT_EXPIRED")
        if m.notice < spec.notice_min:
            reasons.add("CONSENT_NOTICE_SUPERSEDED")
        if any(not ABOVE[p] & members_of(m.purposes) for p in self.purposes):
            reasons.add("PURPOSE_NOT_COVERED")
        return reasons

    def people(self, member, kind, item):
        """(reasons, duties) of everything that does not come from the item itself."""
        key = (member, kind, item)
        if key not in self.rows:
            self.rows[key] = self.people_afresh(member, kind, item)
        return self.rows[key]

    def people_afresh(self, member, kind, item):
        error = (frozenset({"ENGINE_ERROR"}), 0)
        if self.everyone_faulty or member >= len(self.members) or member in self.faulty_members or kind >= 7:
            return error
        if item is not None and item in self.faulty_items:
            return error
        spec, m = self.spec, self.members[member]
        reasons = self.consent(m)
        if m.standing not in (ACTIVE, DUE, GRACE):
            reasons.add("MEMBERSHIP_LAPSED")
        if m.minor:
            reasons.add("MINOR")
        if item is not None:
            fact = self.facts[item]
            if fact.member != member or fact.kind != kind:
                reasons.add("ENGINE_ERROR")
            if fact.embargo_until > spec.instant:
                reasons.add("EMBARGO_UNTIL")
            if fact.retain_until <= spec.instant:
                reasons.add("RETENTION_PASSED")
        strictness = {ALLOW: 0, ALLOW_IF: 1, NONE: 2, DENY: 3}
        duties = 0
        for use in self.uses:
            by_time = []
            for at in self.times:
                worst = ALLOW
                for purpose in self.purposes:
                    effect, more, chain = self.effect(member, kind, item, use, purpose, at)
                    reasons |= chain
                    duties |= more
                    if strictness[effect] > strictness[worst]:
                        worst = effect
                by_time.append(worst)
            if strictness[by_time[-1]] < strictness[by_time[0]]:
                reasons.add("AFTER_CUTOFF")
            effect = max(by_time, key=strictness.get)
            if effect == DENY:
                reasons.add("PREF_DENY")
            elif effect == NONE:
                reasons.add("PREF_UNKNOWN")
            elif effect == ALLOW_IF:
                reasons.add("PREF_CONDITIONAL" if spec.uses_conditional >> use & 1 else "PREF_CONDITION_UNMET")
        if duties & ~spec.audience_duties:
            reasons.add("AUDIENCE_DUTY")
        return frozenset(reasons), duties

    # -- an item

    def licence_reasons(self, licence):
        spec = self.spec
        if licence >= 18:
            return {"LIC_UNKNOWN", "ENGINE_ERROR"}
        if licence == UNKNOWN:
            return {"LIC_UNKNOWN"}
        outputs = members_of(spec.outputs)
        if spec.licence_mode == 0:
            if outputs and licence not in outputs:
                return {"LIC_INCOMPATIBLE"}
            return {"LIC_REVIEW"} if licence in DO_NOT_SHARE else set()
        marks = {cell(licence, o) for o in outputs}
        if marks & set("+ATL"):
            return set()
        found = ({"LIC_REVIEW"} if "?" in marks else set()) | ({"LIC_WAIVER"} if "W" in marks else set())
        return found or {"LIC_INCOMPATIBLE"}

    def node(self, at, item):
        n = self.spec.nodes[at]
        if n.op == 0:
            return all(self.node(c, item) for c in range(n.first, n.first + n.count))
        if n.op == 1:
            return any(self.node(c, item) for c in range(n.first, n.first + n.count))
        if n.op == 2:
            return not self.node(n.first, item)
        v = item.attributes[n.attribute]
        if n.op == 4:
            return bool(n.set >> v & 1)
        return [v == n.value, v != n.value, v < n.value, v <= n.value, v > n.value, v >= n.value][n.compare]

    def item_reasons(self, item):
        spec, reasons = self.spec, set()
        reasons |= self.licence_reasons(item.licence)
        if item.licence in NEEDS_CREDIT and not item.attributed:
            reasons.add("ATTRIBUTION_MISSING")
        if item.kind >= 7 or item.moderation >= 3 or item.nonsense:
            reasons.add("ENGINE_ERROR")
        if item.kind < 7 and not spec.kinds >> item.kind & 1:
            reasons.add("KIND_NOT_ACCEPTED")
        if item.moderation in (0, 2):
            reasons.add({0: "MODERATION_PENDING", 2: "MODERATION_REJECTED"}[item.moderation])
        reasons |= item.flags
        if not spec.regions[item.region // 64] >> item.region % 64 & 1:
            reasons.add("REGION")
        created = item.created * SECOND
        if created > spec.cutoff:
            reasons.add("AFTER_CUTOFF")
        if spec.embargo and created + spec.embargo > spec.instant:
            reasons.add("EMBARGO_UNTIL")
        if spec.retention and created + spec.retention <= spec.instant:
            reasons.add("RETENTION_PASSED")
        for t in spec.toggles:
            if not toggle_touches(t, item):
                continue
            if t.kind == 0:
                reasons.add("TOGGLE_FREEZE")
            elif t.kind == 1 and not (self.uses == {EVAL} and t.uses >> EVAL & 1):
                reasons.add("TOGGLE_EMBARGO")
            elif t.kind == 2 and with_children(members_of(t.uses)) & self.uses:
                reasons.add("TOGGLE_SHIFT")
            elif t.kind == 4:
                reasons.add("ASSURANCE_UNMET")
        for r in spec.rules:
            if with_children(members_of(r.uses)) & self.uses and self.node(r.root, item):
                reasons.add("CHARTER_DENY" if r.effect == 3 else "CHARTER_HOLD")
        return reasons

    def sparse(self, position):
        return position in self.facts or position in self.faulty_items

    def decide(self, position, item):
        special = position if self.sparse(position) else None
        if special is not None and special in self.faulty_items:
            people = {"ENGINE_ERROR"}
        elif special is not None and (self.facts[special].member, self.facts[special].kind) != (item.member, item.kind):
            fact = self.facts[special]
            people = self.people(fact.member, fact.kind, special)[0] | {"ENGINE_ERROR"}
        else:
            people = self.people(item.member, item.kind, special)[0]
        return self.item_reasons(item) | people


def toggle_touches(toggle, item):
    """Whether a control is about an item: of its kinds, and created while it lasts."""
    return toggle.since <= item.created * SECOND < toggle.until and item.kind < 7 and toggle.kinds >> item.kind & 1


# ---- Rules over the set -------------------------------------------------------------------------------------------

def set_rules(spec, items, decisions):
    """Only remove, until nothing changes. `decisions` is a list of sets, changed in place."""
    caps = [t for t in spec.toggles if t.kind == 3]
    of_all = [t for t in caps if t.kinds == 127 and t.since == EVER and t.until == NEVER]
    cap = min([spec.volume_cap] + [t.cap for t in of_all])
    changed = True
    while changed:
        changed = False

        def inside():
            return [i for i, d in enumerate(decisions) if outcome(d) <= 1]

        def drop(some, reason):
            nonlocal changed
            for i in some:
                decisions[i] = decisions[i] | {reason}
                changed = True

        now = inside()
        if spec.licence_mode == 1 and now:
            outputs = sorted(members_of(spec.outputs))
            pool = {items[i].licence for i in now}
            if not any(all(may_become(l, o) for l in pool) for o in outputs):
                kept = {o: sum(may_become(items[i].licence, o) for i in now) for o in outputs}
                best = max(outputs, key=lambda o: (kept[o], -o))
                drop([i for i in now if not may_become(items[i].licence, best)], "LIC_INCOMPATIBLE")
        if spec.k_stratum > 1:
            strata = {}
            for i in inside():
                strata.setdefault(items[i].stratum, []).append(i)
            for some in strata.values():
                if len({items[i].member for i in some}) < spec.k_stratum:
                    drop(some, "K_MIN")
        now = inside()
        people = len({items[i].member for i in now})
        if spec.k_contributors > 1 and people < spec.k_contributors:
            drop(now, "K_MIN")
        if people < spec.assurance:
            drop(now, "ASSURANCE_UNMET")
        for most, touches in [(cap, lambda item: True)] + [(t.cap, lambda item, t=t: toggle_touches(t, item)) for t in caps]:
            now = [i for i in inside() if touches(items[i])]
            if len(now) > most:
                order = sorted(now, key=lambda i: (hashlib.sha256(spec.seed + items[i].id).digest()[:8], i))
                drop(order[most:], "TOGGLE_CAP")
