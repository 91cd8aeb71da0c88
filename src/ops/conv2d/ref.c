/* ref.c: the definition of convolution; the gradients scatter what the forward loop reads. */
#include <string.h>

#include "ops/conv2d/conv2d_attr.h"

hm_status hm_conv2d_ref(const hm_call *c);
hm_status hm_conv2d_dw_ref(const hm_call *c);
hm_status hm_conv2d_dx_ref(const hm_call *c);

/* Of one convolution or one of its gradients; what is written is the one result that is not NULL. */
typedef struct operands {
    const double *x, *w, *dy;
    double *y, *dx, *dw;
} operands;

static void visit(const operands *p, int64_t y, int64_t x, int64_t w) {
    if (p->y != NULL)
        p->y[y] += p->x[x] * p->w[w];
    if (p->dx != NULL)
        p->dx[x] += p->dy[y] * p->w[w];
    if (p->dw != NULL)
        p->dw[w] += p->dy[y] * p->x[x];
}

static void channels(const hm_conv2d_attr *a, const operands *p, int64_t y, int64_t x, int64_t tap) {
    for (int64_t o = 0; o < a->co; o++)
        for (int64_t i = 0; i < a->ci; i++)
            visit(p, y * a->co + o, x * a->ci + i, (o * a->ci + i) * a->k * a->k + tap);
}

static void walk(const hm_conv2d_attr *a, const operands *p) {
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t at = 0; at < a->ho * a->wo; at++)
            for (int64_t tap = 0; tap < a->k * a->k; tap++) {
                const int64_t iy = at / a->wo * a->stride - a->pad + tap / a->k;
                const int64_t ix = at % a->wo * a->stride - a->pad + tap % a->k;
                if (iy >= 0 && iy < a->h && ix >= 0 && ix < a->w)
                    channels(a, p, b * a->ho * a->wo + at, (b * a->h + iy) * a->w + ix, tap);
            }
}

static hm_status run(const hm_call *c, const operands *p) {
    memset(c->out[0], 0, (size_t)hm_count(c->node->out[0]) * sizeof(double));
    walk(c->node->attr, p);
    return HM_OK;
}

hm_status hm_conv2d_ref(const hm_call *c) {
    return run(c, &(operands){.x = c->in[0], .w = c->in[1], .y = c->out[0]});
}

hm_status hm_conv2d_dw_ref(const hm_call *c) {
    return run(c, &(operands){.dy = c->in[0], .x = c->in[1], .dw = c->out[0]});
}

hm_status hm_conv2d_dx_ref(const hm_call *c) {
    return run(c, &(operands){.dy = c->in[0], .w = c->in[1], .dx = c->out[0]});
}
