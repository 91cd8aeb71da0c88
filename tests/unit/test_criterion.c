/* test_criterion.c: matching costs and every loss term against upstream's float64 numbers (golden model/<case>), from
 * the stored predictions, targets and assignments and the same random draws; reference and CPU kernels. */
#include "golden_json.h"

#include <string.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "io/safetensors.h"
#include "ops/box_loss/box_loss.h"
#include "ops/class_loss/class_loss.h"
#include "ops/mask_loss/mask_loss.h"

enum { GROUPS = 3, OUTPUTS = 3, MASK = 96, MAP = MASK / 4, RATIO = 16, TERMS = 5 };
static const char *const outputs[OUTPUTS] = {"final", "aux.0", "enc"}, *const suffix[OUTPUTS] = {"", "_0", "_enc"};
static const char *const terms[TERMS] = {"loss_ce", "loss_bbox", "loss_giou", "loss_mask_ce", "loss_mask_dice"};

typedef struct golden {
    hm_safetensors *batch, *expected;
    cJSON *losses, *params;
    uint64_t seed;
    float bias;
    int images, capacity, objects, queries, n_terms; /* capacity: one more than the largest count */
    bool masks;
} golden;

static const void *data_of(const hm_safetensors *file, const char *name) {
    const hm_safetensor *const t = hm_safetensors_find(file, name);
    if (t == NULL)
        fail_msg("no tensor %s", name);
    return t->data;
}

static int count_of(const golden *g, int b) {
    int64_t n;
    memcpy(&n, (const char *)data_of(g->batch, "counts") + 8 * b, sizeof n);
    return (int)n;
}

static float bias_of(const golden *g) {
    const cJSON *item;
    cJSON_ArrayForEach(item, g->params) {
        if (strcmp(golden_get(item, "name")->valuestring, "segmentation_head.bias") == 0) {
            const float u = hm_rng_uniform(hm_rng_key(g->seed, "segmentation_head.bias"), 0);
            const float scaled = (float)golden_number(item, "scale") * (2 * u - 1);
            return scaled + (float)golden_number(item, "offset");
        }
    }
    return 0;
}

static cJSON *read_json(const char *name, const char *file) {
    char path[256];
    snprintf(path, sizeof path, "model/%s/%s", name, file);
    return golden_read(path);
}

static hm_safetensors *read_tensors(const char *name, const char *file) {
    char path[1024];
    hm_safetensors *s;
    snprintf(path, sizeof path, "%s/model/%s/%s", HM_GOLDEN_DIR, name, file);
    assert_int_equal(hm_safetensors_open(path, &s), HM_OK);
    return s;
}

static golden open_golden(const char *name) {
    golden g = {.batch = read_tensors(name, "batch.safetensors"),
                .expected = read_tensors(name, "expected.safetensors"),
                .losses = read_json(name, "losses.json"),
                .params = read_json(name, "params.json")};
    cJSON *const config = read_json(name, "config.json");
    g.seed = (uint64_t)golden_number(config, "seed");
    cJSON_Delete(config);
    g.bias = bias_of(&g);
    g.images = (int)hm_safetensors_find(g.batch, "counts")->shape[0];
    for (int b = 0; b < g.images; b++) {
        g.objects += count_of(&g, b);
        g.capacity = count_of(&g, b) >= g.capacity ? count_of(&g, b) + 1 : g.capacity;
    }
    g.queries = (int)hm_safetensors_find(g.expected, "train.final.pred_boxes")->shape[1];
    g.masks = hm_safetensors_find(g.batch, "masks_bits") != NULL;
    g.n_terms = g.masks ? TERMS : 3;
    return g;
}

static void close_golden(golden *g) {
    hm_safetensors_close(g->batch);
    hm_safetensors_close(g->expected);
    cJSON_Delete(g->losses);
    cJSON_Delete(g->params);
}

/* One output's predictions, the targets and the match as inputs of a graph, and what is computed from them. */
typedef struct criterion {
    hm_graph *graph;
    hm_prediction p;
    hm_targets t;
    hm_tensor *match, *cost, *term[TERMS];
} criterion;

static criterion build(const golden *g, int output) {
    criterion c;
    assert_int_equal(hm_graph_create(&c.graph), HM_OK);
    hm_graph *const h = c.graph;
    const int64_t B = g->images, Q = g->queries, T = g->capacity;
    const int64_t K = hm_safetensors_find(g->expected, "train.final.pred_logits")->shape[2], C = 32;
    c.p = (hm_prediction){.logits = hm_graph_input(h, "logits", HM_F32, HM_SHAPE(B, Q, K)),
                          .boxes = hm_graph_input(h, "boxes", HM_F32, HM_SHAPE(B, Q, 4))};
    c.t = (hm_targets){.counts = hm_graph_input(h, "counts", HM_I32, HM_SHAPE(B)),
                       .labels = hm_graph_input(h, "labels", HM_I32, HM_SHAPE(B, T)),
                       .boxes = hm_graph_input(h, "targets", HM_F32, HM_SHAPE(B, T, 4))};
    if (g->masks) {
        c.p.spatial = hm_graph_input(h, "spatial", HM_F32, HM_SHAPE(B, MAP * MAP, C));
        c.p.query = hm_graph_input(h, "query", HM_F32, HM_SHAPE(B, Q, C));
        c.p.bias = hm_graph_input(h, "bias", HM_F32, HM_SHAPE(1));
        c.p.mask_h = c.p.mask_w = MAP;
        c.t.masks = hm_graph_input(h, "masks", HM_U8, HM_SHAPE(B, T, MASK * MASK / 8));
        c.t.mask_h = c.t.mask_w = MASK;
    }
    c.match = hm_graph_input(h, "match", HM_I32, HM_SHAPE(B, Q));
    c.cost = hm_match_cost(h, &c.p, &c.t, (hm_cost_weights){5, 2, 2, 5, 5}, RATIO, output);
    c.term[0] = hm_class_loss(h, &c.p, &c.t, c.match, GROUPS);
    hm_box_loss(h, &c.p, &c.t, c.match, GROUPS, &c.term[1], &c.term[2]);
    if (g->masks)
        hm_mask_loss(h, &c.p, &c.t, c.match, GROUPS, RATIO, OUTPUTS + 2 * output, &c.term[3], &c.term[4]);
    hm_graph_output(h, c.cost, "cost");
    for (int k = 0; k < g->n_terms; k++)
        hm_graph_output(h, c.term[k], "%s", terms[k]);
    assert_int_equal(hm_graph_status(h), HM_OK);
    return c;
}

static void put(hm_exec *e, const hm_tensor *t, bool reference, size_t at, float value) {
    if (reference)
        ((double *)hm_exec_data(e, t))[at] = (double)value;
    else
        ((float *)hm_exec_data(e, t))[at] = value;
}

static float get(hm_exec *e, const hm_tensor *t, bool reference, size_t at) {
    return reference ? (float)((double *)hm_exec_data(e, t))[at] : ((float *)hm_exec_data(e, t))[at];
}

static void put_all(hm_exec *e, const hm_tensor *t, bool reference, const float *values) {
    for (size_t i = 0; i < (size_t)hm_count(t); i++)
        put(e, t, reference, i, values[i]);
}

static const float *prediction(const golden *g, int output, const char *what) {
    char name[96];
    snprintf(name, sizeof name, "train.%s.%s", outputs[output], what);
    return data_of(g->expected, name);
}

static void feed_predictions(const golden *g, const criterion *c, int output, hm_exec *e, bool reference) {
    put_all(e, c->p.logits, reference, prediction(g, output, "pred_logits"));
    put_all(e, c->p.boxes, reference, prediction(g, output, "pred_boxes"));
    if (!g->masks)
        return;
    put_all(e, c->p.query, reference, prediction(g, output, "mask_query_features"));
    put(e, c->p.bias, reference, 0, g->bias);
    const float *const s = prediction(g, output, "mask_spatial_features"); /* [B, C, H, W] */
    const size_t C = (size_t)hm_dim(c->p.spatial, 2), pixels = MAP * MAP;
    for (size_t b = 0; b < (size_t)g->images; b++)
        for (size_t k = 0; k < C; k++)
            for (size_t i = 0; i < pixels; i++)
                put(e, c->p.spatial, reference, (b * pixels + i) * C + k, s[(b * C + k) * pixels + i]);
}

static void feed_targets(const golden *g, const criterion *c, hm_exec *e, bool reference) {
    const float *const boxes = data_of(g->batch, "boxes");
    const char *const labels = data_of(g->batch, "labels");
    int object = 0;
    for (int b = 0; b < g->images; b++) {
        ((int32_t *)hm_exec_data(e, c->t.counts))[b] = count_of(g, b);
        for (int j = 0; j < g->capacity; j++) {
            const int row = b * g->capacity + j;
            const bool real = j < count_of(g, b);
            int64_t label = -7; /* rows past the count are never looked at */
            if (real)
                memcpy(&label, labels + 8 * object, sizeof label);
            ((int32_t *)hm_exec_data(e, c->t.labels))[row] = (int32_t)label;
            for (int k = 0; k < 4; k++)
                put(e, c->t.boxes, reference, (size_t)(row * 4 + k), real ? boxes[object * 4 + k] : NAN);
            if (g->masks && real)
                memcpy((uint8_t *)hm_exec_data(e, c->t.masks) + row * MASK * MASK / 8,
                       (const uint8_t *)data_of(g->batch, "masks_bits") + object * MASK * MASK / 8, MASK * MASK / 8);
            object += real;
        }
    }
}

static void feed_match(const golden *g, const criterion *c, int output, hm_exec *e) {
    int32_t *const match = hm_exec_data(e, c->match);
    memset(match, 0xFF, (size_t)(g->images * g->queries) * sizeof *match);
    for (int b = 0; b < g->images; b++) {
        char name[64];
        snprintf(name, sizeof name, "match.%s.%d.query", outputs[output], b);
        const hm_safetensor *const query = hm_safetensors_find(g->expected, name);
        snprintf(name, sizeof name, "match.%s.%d.target", outputs[output], b);
        const int32_t *const target = data_of(g->expected, name), *const q = query->data;
        for (int64_t i = 0; i < query->shape[0]; i++)
            match[b * g->queries + q[i]] = target[i];
    }
}

static void check_terms(const golden *g, const criterion *c, int output, hm_exec *e, bool reference) {
    const cJSON *const want = golden_get(golden_get(g->losses, "step0"), "terms");
    for (int k = 0; k < g->n_terms; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", terms[k], suffix[output]);
        const double value = golden_number(golden_get(want, name), "value");
        const double got = (double)get(e, c->term[k], reference, 0);
        if (!(fabs(got - value) <= 2e-6 * fabs(value)))
            fail_msg("%s is %.9g, expected %.9g", name, got, value);
    }
}

/* Stored costs are [Q, objects]: the columns of image b's objects against image b's predictions, of a float32 run. */
static void check_cost(const golden *g, const criterion *c, int output, hm_exec *e, bool reference) {
    char name[64];
    snprintf(name, sizeof name, "match.%s.cost", outputs[output]);
    const float *const want = data_of(g->expected, name);
    for (int b = 0, object = 0; b < g->images; object += count_of(g, b++))
        for (int q = 0; q < g->queries; q++)
            for (int j = 0; j < g->capacity; j++) {
                const size_t at = (size_t)((b * g->queries + q) * g->capacity + j);
                const double got = (double)get(e, c->cost, reference, at);
                const double value = j < count_of(g, b) ? (double)want[q * g->objects + object + j] : 0;
                if (!(fabs(got - value) <= 2e-5 * fmax(1, fabs(value))))
                    fail_msg("%s of image %d [%d,%d] is %.9g, expected %.9g", name, b, q, j, got, value);
            }
}

static void check_case(const char *name) {
    golden g = open_golden(name);
    for (int output = 0; output < OUTPUTS; output++)
        for (int reference = 0; reference < 2; reference++) {
            const criterion c = build(&g, output);
            hm_exec_options opt = hm_exec_defaults();
            opt.reference = reference != 0;
            opt.guard = true;
            hm_exec *e;
            assert_int_equal(hm_exec_create(&e, c.graph, NULL, &opt), HM_OK);
            feed_predictions(&g, &c, output, e, opt.reference);
            feed_targets(&g, &c, e, opt.reference);
            feed_match(&g, &c, output, e);
            if (hm_exec_run(e, g.seed, 0) != HM_OK)
                fail_msg("%s", hm_error_message());
            check_cost(&g, &c, output, e, opt.reference);
            check_terms(&g, &c, output, e, opt.reference);
            hm_exec_free(e);
            hm_graph_free(c.graph);
        }
    close_golden(&g);
}

static void segmentation(void **state) {
    (void)state;
    check_case("tiny-seg");
}

static void more_targets_than_queries(void **state) {
    (void)state;
    check_case("tiny-seg-w1");
}

static void detection(void **state) {
    (void)state;
    check_case("tiny-det");
    check_case("tiny-ms");
}

/* Numbers of a batch that would lead outside the tensors are errors with a message, not reads. */
static void hostile_targets(void **state) {
    (void)state;
    golden g = open_golden("tiny-det");
    const criterion c = build(&g, 0);
    hm_exec_options opt = hm_exec_defaults();
    hm_exec *e;
    assert_int_equal(hm_exec_create(&e, c.graph, NULL, &opt), HM_OK);
    feed_predictions(&g, &c, 0, e, false);
    feed_targets(&g, &c, e, false);
    feed_match(&g, &c, 0, e);
    int32_t *const labels = hm_exec_data(e, c.t.labels), *const counts = hm_exec_data(e, c.t.counts);
    int32_t *const match = hm_exec_data(e, c.match);
    const int32_t keep[3] = {labels[0], counts[0], match[0]};
    labels[0] = 5;
    assert_int_equal(hm_exec_run(e, 1, 0), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "label 5; the model knows 0 to 4"));
    labels[0] = keep[0];
    counts[0] = g.capacity + 1;
    assert_int_equal(hm_exec_run(e, 1, 0), HM_ERR_ARG);
    counts[0] = keep[1];
    match[0] = counts[0];
    assert_int_equal(hm_exec_run(e, 1, 0), HM_ERR_ARG);
    match[0] = keep[2];
    assert_int_equal(hm_exec_run(e, 1, 0), HM_OK);
    hm_exec_free(e);
    hm_graph_free(c.graph);
    close_golden(&g);
}

/* NaN in what is matched makes the losses NaN, and the costs stay finite. */
static void nan_spreads(void **state) {
    (void)state;
    golden g = open_golden("tiny-seg");
    const criterion c = build(&g, 0);
    hm_exec_options opt = hm_exec_defaults();
    hm_exec *e;
    assert_int_equal(hm_exec_create(&e, c.graph, NULL, &opt), HM_OK);
    feed_predictions(&g, &c, 0, e, false);
    feed_targets(&g, &c, e, false);
    feed_match(&g, &c, 0, e);
    const int32_t *const match = hm_exec_data(e, c.match);
    size_t q = 0;
    while (match[q] < 0)
        q++;
    put(e, c.p.query, false, q * (size_t)hm_dim(c.p.query, 2), NAN);
    put(e, c.p.logits, false, q * (size_t)hm_dim(c.p.logits, 2), NAN);
    put(e, c.p.boxes, false, q * 4, NAN);
    assert_int_equal(hm_exec_run(e, g.seed, 0), HM_OK);
    for (int k = 0; k < TERMS; k++)
        assert_true(isnan(get(e, c.term[k], false, 0)));
    for (int64_t i = 0; i < hm_count(c.cost); i++)
        assert_true(isfinite(get(e, c.cost, false, (size_t)i)));
    hm_exec_free(e);
    hm_graph_free(c.graph);
    close_golden(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segmentation), cmocka_unit_test(more_targets_than_queries),
        cmocka_unit_test(detection),    cmocka_unit_test(hostile_targets),
        cmocka_unit_test(nan_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
