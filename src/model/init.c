/* init.c: starting values of every parameter, by its name, as upstream's modules draw them (PyTorch's defaults, Xavier
 * in the transformer, Deformable-DETR's offsets, focal bias of the classes). Each parameter has
 * a stream of its own, so a value depends on seed, name and place only. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "model/rfdetr.h"

typedef struct init_param {
    const char *name;
    hm_shape shape;
    float *x;
    int64_t n;
    uint64_t key;
} init_param;

static void constant(const init_param *p, float value) {
    for (int64_t i = 0; i < p->n; i++)
        p->x[i] = value;
}

static void uniform(const init_param *p, double bound) {
    for (int64_t i = 0; i < p->n; i++)
        p->x[i] = (float)(bound * (2.0 * hm_rng_uniform(p->key, (uint64_t)i) - 1.0));
}

/* Box and Muller 1958. */
static void normal(const init_param *p, double std) {
    for (int64_t i = 0; i < p->n; i++) {
        const double u = 1.0 - hm_rng_uniform(p->key, 2 * (uint64_t)i), v = hm_rng_uniform(p->key, 2 * (uint64_t)i + 1);
        p->x[i] = (float)(std * sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v));
    }
}

/* Glorot and Bengio 2010. */
static void xavier(const init_param *p) {
    uniform(p, sqrt(6.0 / (double)(p->shape.dim[0] + p->shape.dim[1])));
}

static bool starts(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *s, const char *suffix) {
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static bool is_norm(const char *name) {
    int level;
    char part[16];
    return strstr(name, "norm") != NULL || strstr(name, ".bn.") != NULL ||
           sscanf(name, "backbone.0.projector.stages.%d.1.%15s", &level, part) == 2;
}

/* Inputs of one output of the layer that the weight or bias belongs to (PyTorch's fan_in). */
static double fan_in(const hm_store *store, const init_param *p) {
    hm_shape s = p->shape;
    if (ends(p->name, ".bias")) {
        char weight[256];
        snprintf(weight, sizeof weight, "%.*sweight", (int)(strlen(p->name) - 4), p->name);
        if (hm_store_find(store, weight, &s) == NULL)
            return 1;
    }
    int64_t n = 1;
    for (int i = 1; i < s.rank; i++)
        n *= s.dim[i];
    return (double)n;
}

static void torch_default(const hm_store *store, const init_param *p) {
    uniform(p, 1.0 / sqrt(fan_in(store, p)));
}

/* Points start in a ring of directions, one for each head, farther out for later points. */
static void offsets_bias(const hm_model_config *c, const init_param *p) {
    const int64_t points = c->dec_n_points, per_head = points * c->n_levels;
    for (int64_t i = 0; i < p->n / 2; i++) {
        const double angle = 2.0 * M_PI * (double)(i / per_head) / c->ca_nheads, x = cos(angle), y = sin(angle);
        const double scale = (double)(i % points + 1) / fmax(fabs(x), fabs(y));
        p->x[2 * i] = (float)(x * scale);
        p->x[2 * i + 1] = (float)(y * scale);
    }
}

static void init_encoder(const init_param *p) {
    if (ends(p->name, "lambda1"))
        constant(p, 1);
    else if (ends(p->name, ".bias") || ends(p->name, "mask_token"))
        constant(p, 0);
    else
        normal(p, 0.02);
}

static void init_transformer(const hm_model_config *c, const hm_store *store, const init_param *p) {
    if (ends(p->name, "sampling_offsets.bias"))
        offsets_bias(c, p);
    else if (strstr(p->name, "sampling_offsets") != NULL || strstr(p->name, "attention_weights") != NULL)
        constant(p, 0);
    else if (p->shape.rank > 1)
        xavier(p);
    else if (strstr(p->name, "_attn.") != NULL)
        constant(p, 0);
    else
        torch_default(store, p);
}

/* The proposals' heads start as copies of the decoder's: they draw from the same stream, "init.<head>". */
static void head_of(const char *name, char head[static 256]) {
    char rest[201];
    int group;
    if (sscanf(name, "transformer.enc_out_class_embed.%d.%200s", &group, rest) == 2)
        snprintf(head, 256, "class_embed.%s", rest);
    else if (sscanf(name, "transformer.enc_out_bbox_embed.%d.%200s", &group, rest) == 2)
        snprintf(head, 256, "bbox_embed.%s", rest);
    else
        snprintf(head, 256, "%s", name);
}

static void init_one(const hm_model_config *c, const hm_store *store, init_param *p, uint64_t seed) {
    char head[256], stream[264];
    head_of(p->name, head);
    snprintf(stream, sizeof stream, "init.%s", head);
    p->key = hm_rng_key(seed, stream);
    if (is_norm(p->name))
        constant(p, ends(p->name, "weight") ? 1 : 0);
    else if (starts(head, "backbone.0.encoder."))
        init_encoder(p);
    else if (strcmp(head, "class_embed.bias") == 0)
        constant(p, (float)-log(99.0)); /* probability 0.01 */
    else if (starts(head, "bbox_embed.layers.2.") || starts(head, "mask_head.layers.2.") ||
             starts(head, "refpoint_embed.") || strcmp(head, "segmentation_head.bias") == 0)
        constant(p, 0);
    else if (starts(head, "query_feat."))
        normal(p, 1);
    else if (starts(head, "transformer."))
        init_transformer(c, store, p);
    else
        torch_default(store, p);
}

hm_status hm_model_init(const hm_model_config *c, hm_store *store, uint64_t seed) {
    for (size_t i = 0; i < hm_store_count(store); i++) {
        init_param p;
        hm_storage kind;
        p.x = hm_store_at(store, i, &p.name, &p.shape, &kind);
        p.n = hm_shape_count(p.shape);
        if (kind == HM_PARAM)
            init_one(c, store, &p, seed);
    }
    return HM_OK;
}
