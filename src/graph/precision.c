/* precision.c: the precision pass. Readers decide: an op that can store half does so unless a reader wants the number
 * exactly; going backwards through the graph finds who wants what, going forwards gives the types. */
#include "graph/precision.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"

static const char *const names[] = {"fp32", "bf16", "fp16", "bf16-true", "fp16-true", "tf32", "auto"};

hm_dtype hm_precision_half(hm_precision p) {
    const bool bf16 = p == HM_PRECISION_BF16 || p == HM_PRECISION_BF16_TRUE;
    return p == HM_PRECISION_FP32 || p == HM_PRECISION_TF32 ? HM_F32 : bf16 ? HM_BF16 : HM_F16;
}

bool hm_precision_true(hm_precision p) {
    return p == HM_PRECISION_BF16_TRUE || p == HM_PRECISION_FP16_TRUE;
}

bool hm_precision_tf32(hm_precision p) {
    return p != HM_PRECISION_FP32;
}

const char *hm_precision_name(hm_precision p) {
    return names[p];
}

bool hm_precision_named(const char *name, hm_precision *out) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (hm_precision)i;
            return true;
        }
    return false;
}

hm_precision hm_precision_resolve(hm_precision p, hm_device device) {
    static const hm_precision others[] = {HM_PRECISION_FP32, HM_PRECISION_BF16, HM_PRECISION_FP16,
                                          HM_PRECISION_FP16_TRUE};
    if (p < HM_PRECISION_AUTO)
        return p;
    if (p > HM_PRECISION_AUTO)
        return others[p - HM_PRECISION_AUTO - 1];
    hm_cuda_about gpu;
    const bool bf16 = device == HM_DEVICE_CUDA ? hm_cuda_describe(&gpu) == HM_OK && gpu.bf16 : hm_cpu_has_bf16();
    return bf16 ? HM_PRECISION_BF16 : HM_PRECISION_FP16;
}

hm_status hm_precision_check(hm_precision p, hm_device device) {
    hm_cuda_about gpu;
    const bool tf32 = p == HM_PRECISION_TF32;
    if (device != HM_DEVICE_CUDA || (!tf32 && hm_precision_half(p) != HM_BF16))
        return HM_OK;
    HM_TRY(hm_cuda_describe(&gpu));
    if (!gpu.bf16)
        HM_FAIL(HM_ERR_UNSUPPORTED,
                "%s (compute capability %d.%d) does not multiply %s, as GPUs from 8.0 on do: use precision %s",
                gpu.name, gpu.major, gpu.minor, tf32 ? "TF32" : "bf16", tf32 ? "fp32" : "fp16");
    return HM_OK;
}

typedef struct pass {
    hm_graph *g;
    hm_dtype half;
    const hm_graph *like; /* whose parameters' types are taken over; NULL: none */
    bool half_params;
    bool *exact;              /* by tensor id: some reader wants it exactly */
    bool *forced;             /* by node id: overridden to fp32 */
    const hm_policy **policy; /* by node id */
} pass;

static char letter(const char *codes, int i) {
    for (int k = 0; codes[1] != '\0' && k < i; k++)
        codes++;
    return *codes;
}

static const hm_policy *find(const hm_op *op) {
    for (size_t i = 0; i < hm_policies_count; i++)
        if (hm_policies[i].op == op)
            return &hm_policies[i];
    return NULL;
}

static hm_status find_policies(pass *p) {
    for (size_t k = 0; k < p->g->n_nodes; k++) {
        p->policy[k] = find(p->g->nodes[k]->op);
        if (p->policy[k] == NULL)
            HM_FAIL(HM_ERR_INTERNAL, "op %s has no row in the precision policy", p->g->nodes[k]->op->name);
    }
    return HM_OK;
}

static bool fits(const char *pattern, const hm_node *n) {
    char full[512];
    snprintf(full, sizeof full, "%s/%s", n->scope, n->op->name);
    return fnmatch(pattern, n->scope, 0) == 0 || fnmatch(pattern, full, 0) == 0;
}

static size_t force(pass *p, const char *pattern) {
    size_t found = 0;
    for (size_t k = 0; k < p->g->n_nodes; k++)
        if (fits(pattern, p->g->nodes[k])) {
            p->forced[k] = true;
            found++;
        }
    return found;
}

/* One "pattern=fp32". */
static hm_status override_one(pass *p, const char *text, size_t len) {
    char pattern[256];
    const char *const equals = memchr(text, '=', len);
    if (equals == NULL || len - (size_t)(equals - text) != strlen("=fp32") || memcmp(equals, "=fp32", 5) != 0)
        HM_FAIL(HM_ERR_ARG,
                "precision_override \"%.*s\" is not understood: give PATTERN=fp32, where PATTERN fits names "
                "of layers as info --precision --plan prints them",
                (int)len, text);
    snprintf(pattern, sizeof pattern, "%.*s", (int)(equals - text), text);
    if (force(p, pattern) == 0)
        HM_FAIL(HM_ERR_ARG, "precision_override: no layer's name fits \"%s\": info --precision --plan prints them",
                pattern);
    return HM_OK;
}

static hm_status apply_overrides(pass *p, const char *text) {
    for (size_t i = 0; i < hm_exact_count; i++)
        force(p, hm_exact[i].pattern);
    while (text != NULL && *text != '\0') {
        const size_t len = strcspn(text, ",");
        HM_TRY(override_one(p, text, len));
        text += len + (text[len] == ',');
    }
    return HM_OK;
}

static char input_letter(const pass *p, const hm_node *n, int i) {
    const char code = letter(p->policy[n->id]->in, i);
    return p->forced[n->id] && code != 'm' ? 'x' : code;
}

/* ---- the parameters of true modes: half where products are all that reads them. Norms, biases, scales and embeddings
 * are read as they are, and near 1 a half moves by steps as large as the learning rate. */

static hm_dtype same_as(const hm_graph *like, const char *name) {
    for (size_t i = 0; i < like->n_tensors; i++)
        if (like->tensors[i]->storage == HM_PARAM && like->tensors[i]->base == NULL &&
            strcmp(like->tensors[i]->name, name) == 0)
            return like->tensors[i]->dtype;
    return HM_F32;
}

/* wide[t]: some op other than an update reads t, or a move of it, not rounded to half. */
static void mark_wide(const pass *p, bool *wide) {
    for (size_t k = p->g->n_nodes; k-- > 0;) {
        const hm_node *const n = p->g->nodes[k];
        for (int i = 0; i < n->n_in && !n->op->updates; i++) {
            const char code = n->in[i] != NULL ? input_letter(p, n, i) : 'h';
            if (code == 'x' || code == 'a' || code == 'b' || (code == 'm' && wide[n->out[0]->id]))
                wide[n->in[i]->id] = true;
        }
    }
}

static hm_status choose_params(pass *p) {
    bool *wide;
    HM_TRY(hm_alloc(&wide, p->g->n_tensors + 1, sizeof *wide));
    mark_wide(p, wide);
    for (size_t i = 0; i < p->g->n_tensors; i++) {
        hm_tensor *const t = p->g->tensors[i];
        if (t->storage == HM_PARAM && t->producer == NULL)
            t->dtype = p->like != NULL ? same_as(p->like, t->name) : wide[i] ? HM_F32 : p->half;
    }
    free(wide);
    return HM_OK;
}

/* Gradients of fp32 parameters are wanted exactly, as are kept outputs. */
static void mark_ends(pass *p) {
    for (size_t i = 0; i < p->g->n_tensors; i++) {
        const hm_tensor *const t = p->g->tensors[i];
        hm_tensor *const d = t->storage == HM_PARAM && t->base == NULL ? hm_graph_grad(p->g, t) : NULL;
        p->exact[i] |= t->keep;
        if (d != NULL && t->dtype == HM_F32)
            p->exact[d->id] = true;
    }
}

static void mark_wishes(pass *p) {
    mark_ends(p);
    for (size_t k = p->g->n_nodes; k-- > 0;) {
        const hm_node *const n = p->g->nodes[k];
        const hm_tensor *const first = n->out[0]->again_of;
        if (first != NULL)
            p->exact[first->id] |= p->exact[n->out[0]->id];
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] != NULL) {
                const char code = input_letter(p, n, i);
                p->exact[n->in[i]->id] |= code == 'x' || (code == 'm' && p->exact[n->out[0]->id]);
            }
    }
}

/* A move's result: of a view, the type of what it shows; else half if it can be. */
static hm_dtype moved(const pass *p, const hm_node *n, const hm_tensor *t) {
    bool all = true;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != NULL && hm_dtype_is_float(n->in[i]->dtype))
            all &= n->in[i]->dtype == p->half;
    if (t->base != NULL)
        return t->base->dtype;
    return all || !p->exact[t->id] ? p->half : HM_F32;
}

static hm_dtype stored_as(const pass *p, const hm_node *n, int o) {
    const hm_tensor *const t = n->out[o];
    if (t->again_of != NULL)
        return t->again_of->dtype;
    switch (letter(p->policy[n->id]->out, o)) {
    case 'h':
        return p->exact[t->id] || p->forced[n->id] ? HM_F32 : p->half;
    case 'g':
        return p->half_params && !p->exact[t->id] ? p->half : HM_F32;
    case 'm':
        return t->base == NULL && p->forced[n->id] ? HM_F32 : moved(p, n, t);
    default:
        return HM_F32;
    }
}

static void give_types(pass *p) {
    for (size_t k = 0; k < p->g->n_nodes; k++) {
        const hm_node *const n = p->g->nodes[k];
        for (int o = 0; o < n->n_out; o++) {
            hm_tensor *const t = n->out[o];
            if (t->dtype != HM_F32)
                continue;
            if (t->storage == HM_TEMP)
                t->dtype = stored_as(p, n, o);
            else if (t->base != NULL)
                t->dtype = t->base->dtype;
        }
    }
}

/* ---- casts */

typedef struct casts {
    const pass *p;
    hm_tensor **of; /* by tensor id of before: its half copy, or NULL */
    hm_tensor **params;
    int n_params; /* that need one */
} casts;

static bool is_param(const hm_tensor *t) {
    return t->storage == HM_PARAM && t->producer == NULL;
}

/* Half copies of `count` tensors, made where n is about to read one of them. */
static hm_status cast_for(const casts *c, const hm_node *n, hm_tensor *const *x, int count, const char *scope) {
    hm_graph *const g = c->p->g;
    g->scope = scope;
    hm_node *const made = hm_graph_node(g, hm_ops_cast, &c->p->half, sizeof c->p->half, x, count);
    HM_TRY(hm_graph_status(g));
    made->backward = n->backward;
    for (int i = 0; i < count; i++) {
        c->of[x[i]->id] = made->out[i];
        if (is_param(x[i]))
            made->out[i]->name = hm_graph_text(g, "%s/%s", scope, x[i]->name);
    }
    return HM_OK;
}

/* A weight's copy serves the whole step, so those of all weights are made at once. */
static hm_status cast_input(const casts *c, hm_node *n, int i) {
    hm_tensor *const x = n->in[i];
    if (c->of[x->id] == NULL && is_param(x))
        HM_TRY(cast_for(c, n, c->params, c->n_params, "half copies"));
    else if (c->of[x->id] == NULL)
        HM_TRY(cast_for(c, n, &x, 1, x->producer != NULL ? x->producer->scope : ""));
    n->in[i] = c->of[x->id];
    return HM_OK;
}

static bool needs_cast(const pass *p, const hm_node *n, int i) {
    const char code = n->in[i] != NULL && n->in[i]->dtype == HM_F32 ? input_letter(p, n, i) : 'a';
    return code == 'h' || (code == 'b' && hm_dtype_is_half(n->out[n->n_out - 1]->dtype));
}

/* Each cast goes in front of the first node that reads it. */
static hm_status cast_inputs(void *ctx, hm_node *n) {
    const casts *const c = ctx;
    for (int i = 0; i < n->n_in; i++)
        if (needs_cast(c->p, n, i))
            HM_TRY(cast_input(c, n, i));
    return HM_OK;
}

/* In the order of their first readers. */
static void list_params(casts *c, bool *listed) {
    const hm_graph *const g = c->p->g;
    for (size_t k = 0; k < g->n_nodes; k++)
        for (int i = 0; i < g->nodes[k]->n_in; i++) {
            hm_tensor *const t = g->nodes[k]->in[i];
            if (!needs_cast(c->p, g->nodes[k], i) || !is_param(t) || listed[t->id])
                continue;
            listed[t->id] = true;
            c->params[c->n_params++] = t;
        }
}

static hm_status insert_casts(pass *p) {
    casts c = {.p = p};
    bool *listed = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_alloc(&c.of, p->g->n_tensors + 1, sizeof *c.of));
    HM_TRY_TO(st, done, hm_alloc(&c.params, p->g->n_tensors + 1, sizeof *c.params));
    HM_TRY_TO(st, done, hm_alloc(&listed, p->g->n_tensors + 1, sizeof *listed));
    list_params(&c, listed);
    st = hm_graph_rewrite(p->g, cast_inputs, &c);
done:
    free(c.of);
    free(c.params);
    free(listed);
    return st;
}

static hm_status run(hm_graph *g, hm_precision mode, const char *overrides, const hm_graph *like) {
    pass p = {.g = g, .half = hm_precision_half(mode), .half_params = hm_precision_true(mode), .like = like};
    hm_status st;
    HM_TRY(hm_graph_status(g));
    HM_TRY_TO(st, done, hm_alloc(&p.exact, g->n_tensors + 1, sizeof(bool)));
    HM_TRY_TO(st, done, hm_alloc(&p.forced, g->n_nodes + 1, sizeof(bool)));
    HM_TRY_TO(st, done, hm_alloc(&p.policy, g->n_nodes + 1, sizeof *p.policy));
    HM_TRY_TO(st, done, find_policies(&p));
    HM_TRY_TO(st, done, apply_overrides(&p, overrides));
    if (p.half_params)
        HM_TRY_TO(st, done, choose_params(&p));
    if (p.half != HM_F32) {
        mark_wishes(&p);
        give_types(&p);
        st = insert_casts(&p);
    }
done:
    free(p.exact);
    free(p.forced);
    free(p.policy);
    return st;
}

hm_status hm_graph_precision(hm_graph *g, hm_precision mode, const char *overrides) {
    return run(g, mode, overrides, NULL);
}

hm_status hm_graph_precision_like(hm_graph *g, hm_precision mode, const hm_graph *like) {
    return run(g, mode, NULL, like);
}

/* ---- the table for people */

static const char *reason(const hm_node *n) {
    const hm_policy *const row = find(n->op);
    for (size_t i = 0; i < hm_exact_count; i++)
        if (fits(hm_exact[i].pattern, n))
            return hm_exact[i].why;
    return row != NULL ? row->why : "";
}

static void types_of(char *out, size_t size, hm_tensor *const *list, int n) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < n && at + 8 < size; i++)
        if (list[i] != NULL && hm_dtype_is_float(list[i]->dtype))
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? "," : "", hm_dtype_name(list[i]->dtype));
}

void hm_graph_dump_precision(const hm_graph *g, void *file) {
    fprintf(file, "%5s    %-24s %-20s %-20s %10s %10s  %s\n", "node", "op", "reads", "stores", "bytes", "saved", "why");
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        char in[64], out[64];
        size_t bytes = 0, full = 0;
        for (int o = 0; o < n->n_out; o++)
            if (n->out[o]->storage == HM_TEMP && n->out[o]->base == NULL) {
                const size_t count = (size_t)hm_count(n->out[o]);
                bytes += count * hm_dtype_size(n->out[o]->dtype);
                full += count * (hm_dtype_is_half(n->out[o]->dtype) ? sizeof(float) : hm_dtype_size(n->out[o]->dtype));
            }
        if (n->op == hm_ops_cast)
            full = 0; /* fp32 would not make this tensor */
        types_of(in, sizeof in, n->in, n->n_in < 3 ? n->n_in : 3);
        types_of(out, sizeof out, n->out, n->n_out < 4 ? n->n_out : 4);
        fprintf(file, "%5d %s %-24s %-20s %-20s %10zu %10lld  %s [%s]\n", n->id, n->backward ? "<-" : "->", n->op->name,
                in, out, bytes, (long long)full - (long long)bytes, reason(n), n->scope);
    }
}
