#include "commonhold/lifecycle.h"

#include <stdio.h>

const char *lifecycle_word(const struct lifecycle *l, int state)
{
	if (state == LIFECYCLE_BEGINNING)
		return "";
	return state >= 0 && (size_t)state < l->n_states ? l->states[state] : "unknown";
}

int lifecycle_state(const struct lifecycle *l, struct str word)
{
	return str_which(word, l->states, l->n_states);
}

const struct lifecycle_edge *lifecycle_edge(const struct lifecycle *l, int from, int to)
{
	for (size_t i = 0; i < l->n_edges; i++)
		if (l->edges[i].from == from && l->edges[i].to == to)
			return &l->edges[i];
	return NULL;
}

enum err lifecycle_step(const struct lifecycle *l, int from, int to, const struct lifecycle_edge **out, struct error *e)
{
	const struct lifecycle_edge *edge = lifecycle_edge(l, from, to);
	if (out)
		*out = edge;
	if (edge)
		return ERR_OK;
	enum err err = error_set(e, ERR_STATE, "%s is %s and cannot become %s.", l->thing, lifecycle_word(l, from), lifecycle_word(l, to));
	snprintf(e->reason, sizeof(e->reason), "%s", l->reason ? l->reason : "");
	return err;
}

/* ---- Whether a table is whole ---- */

static enum err check_words(const struct lifecycle *l, struct error *e)
{
	if (l->n_states == 0 || l->n_states > LIFECYCLE_STATES_MAX)
		return error_set(e, ERR_INTERNAL, "%s has %zu states.", l->thing, l->n_states);
	for (size_t i = 0; i < l->n_states; i++)
		if (!l->states[i] || !l->states[i][0])
			return error_set(e, ERR_INTERNAL, "%s: state %zu has no word.", l->thing, i);
	for (size_t i = 0; i < l->n_states; i++)
		if (lifecycle_state(l, str_of(l->states[i])) != (int)i)
			return error_set(e, ERR_INTERNAL, "%s: two states are called %s.", l->thing, l->states[i]);
	return ERR_OK;
}

static enum err check_edge(const struct lifecycle *l, const struct lifecycle_edge *edge, struct error *e)
{
	int n = (int)l->n_states;
	const char *fault = NULL;
	if (edge->from < LIFECYCLE_BEGINNING || edge->from >= n || edge->to < 0 || edge->to >= n)
		fault = "is of a state that there is not";
	else if (edge->from == edge->to)
		fault = "leads nowhere";
	else if (!edge->sentence || !edge->sentence[0])
		fault = "has no sentence";
	else if (lifecycle_edge(l, edge->from, edge->to) != edge)
		fault = "is there twice";
	return fault ? error_set(e, ERR_INTERNAL, "%s: the edge from \"%s\" to \"%s\" %s.", l->thing, lifecycle_word(l, edge->from), lifecycle_word(l, edge->to), fault) : ERR_OK;
}

/* The states that a way along the edges leads to from the beginning, as bits. */
static unsigned reached_states(const struct lifecycle *l)
{
	unsigned reached = 0, before;
	do {
		before = reached;
		for (size_t i = 0; i < l->n_edges; i++)
			if (l->edges[i].from == LIFECYCLE_BEGINNING || (reached & LIFECYCLE_BIT(l->edges[i].from)))
				reached |= LIFECYCLE_BIT(l->edges[i].to);
	} while (reached != before);
	return reached;
}

static unsigned left_states(const struct lifecycle *l)
{
	unsigned left = 0;
	for (size_t i = 0; i < l->n_edges; i++)
		if (l->edges[i].from != LIFECYCLE_BEGINNING)
			left |= LIFECYCLE_BIT(l->edges[i].from);
	return left;
}

enum err lifecycle_check(const struct lifecycle *l, struct error *e)
{
	TRY(check_words(l, e));
	for (size_t i = 0; i < l->n_edges; i++)
		TRY(check_edge(l, &l->edges[i], e));
	unsigned reached = reached_states(l), left = left_states(l);
	for (size_t i = 0; i < l->n_states; i++) {
		bool goes_on = (left & LIFECYCLE_BIT(i)) != 0, final = (l->final & LIFECYCLE_BIT(i)) != 0;
		if (!(reached & LIFECYCLE_BIT(i)))
			return error_set(e, ERR_INTERNAL, "%s: nothing leads to %s.", l->thing, l->states[i]);
		if (goes_on == final)
			return error_set(e, ERR_INTERNAL, final ? "%s: something leads out of %s." : "%s: nothing leads out of %s.", l->thing, l->states[i]);
	}
	return ERR_OK;
}
