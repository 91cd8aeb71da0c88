/* evaluate.c: the evaluation graph (one query group, dense masks) against the case. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/mask_logits/mask_logits.h"
#include "runs.h"

typedef struct eval_run {
    hm_graph *graph;
    hm_model *model;
    hm_store *store;
    hm_exec *exec;
    hm_tensor *masks[HM_MAX_OUTPUTS];
} eval_run;

/* The store holds what training knows, since the case lists all groups. */
static hm_status fill_store(eval_run *u, const parity_case *c) {
    hm_graph *g = NULL;
    hm_model *m = NULL;
    hm_status st = hm_graph_create(&g);
    const hm_model_options o = {c->B, c->H, c->W, .training = true, .padded = c->padded};
    if (st == HM_OK)
        st = hm_model_build(&m, g, &c->model, &o);
    if (st == HM_OK)
        st = hm_store_create(&u->store);
    if (st == HM_OK)
        st = hm_store_add(u->store, g);
    if (st == HM_OK)
        st = parity_case_weights(c, u->store);
    hm_model_free(m);
    hm_graph_free(g);
    return st;
}

static hm_status open_eval(eval_run *u, const parity_case *c, bool imposed) {
    HM_TRY(fill_store(u, c));
    HM_TRY(hm_graph_create(&u->graph));
    const hm_model_options o = {c->B, c->H, c->W, .padded = c->padded, .impose_topk = imposed};
    HM_TRY(hm_model_build(&u->model, u->graph, &c->model, &o));
    for (int i = 0; i < u->model->n_outputs; i++) {
        hm_prediction *const p = &u->model->outputs[i];
        hm_graph_output(u->graph, p->logits, "%s", p->logits->name);
        hm_graph_output(u->graph, p->boxes, "%s", p->boxes->name);
        if (p->spatial != NULL)
            u->masks[i] = hm_graph_output(u->graph, hm_mask_logits(u->graph, p->spatial, p->query, p->bias), "masks");
    }
    hm_graph_output(u->graph, u->model->scores[0], "scores");
    if (!imposed)
        hm_graph_output(u->graph, u->model->topk[0], "topk");
    HM_TRY(hm_graph_status(u->graph));
    const hm_exec_options eo = parity_exec_options();
    HM_TRY(hm_exec_create(&u->exec, u->graph, u->store, &eo));
    HM_TRY(hm_exec_write(u->exec, u->model->images, c->images));
    if (c->padded)
        HM_TRY(hm_exec_write(u->exec, u->model->padding, c->pad));
    return HM_OK;
}

static void check(parity_report *r, const eval_run *u, const char *output, const char *field, const hm_tensor *t,
                  hm_shape shape) {
    char name[160], key[128];
    snprintf(name, sizeof name, "eval.%s.%s", output, field);
    snprintf(key, sizeof key, "%s.%s", output, field);
    const float *const x = host_of(u->exec, t);
    report_tensor(r, name, name, x, hm_count(t), 0,
                  report_tolerance(parity_number(r->c->tolerances, 0, "outputs_eval", key, "rel")));
    report_keep(r, name, HM_ST_F32, shape.rank, shape.dim, x);
}

static void check_all(parity_report *r, const eval_run *u, topk_difference d) {
    const hm_model *const m = u->model;
    const int64_t B = r->c->B;
    report_topk(r, "eval.topk", d, near_tie(r->c));
    report_keep(r, "eval.topk", HM_ST_I32, 2, m->topk[0]->shape.dim, host_of(u->exec, m->topk[0]));
    for (int i = 0; i < m->n_outputs; i++) {
        const hm_prediction *const p = &m->outputs[i];
        check(r, u, m->output_names[i], "pred_logits", p->logits, p->logits->shape);
        check(r, u, m->output_names[i], "pred_boxes", p->boxes, p->boxes->shape);
        if (u->masks[i] != NULL)
            check(r, u, m->output_names[i], "pred_masks", u->masks[i],
                  HM_SHAPE(B, hm_dim(p->query, 1), p->mask_h, p->mask_w));
    }
}

hm_status run_evaluation(parity_report *r, bool imposed, bool *swapped) {
    eval_run u = {0};
    *swapped = false;
    hm_status st = open_eval(&u, r->c, imposed);
    if (st == HM_OK && imposed)
        st = impose_topk(r, "eval.topk", u.exec, u.model);
    if (st == HM_OK)
        st = hm_exec_run(u.exec, r->c->seed, 0);
    if (st == HM_OK) {
        const topk_difference d = compare_topk(r, "eval.topk", u.exec, u.model, imposed);
        *swapped = d.swapped > 0 && d.gap <= near_tie(r->c) && !imposed;
        if (!*swapped)
            check_all(r, &u, d);
    }
    host_forget();
    hm_exec_free(u.exec);
    hm_store_free(u.store);
    hm_model_free(u.model);
    hm_graph_free(u.graph);
    return st;
}
