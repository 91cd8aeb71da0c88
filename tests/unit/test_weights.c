/* test_weights.c: weights files: round trip, averages, other numbers of classes, foreign files, and every way in which
 * a file can fail to fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/atomic.h"
#include "io/safetensors.h"
#include "model/rfdetr.h"
#include "model_fill.h"
#include "weights/weights.h"

#define PATH        "test_weights.safetensors"
#define TORCH       "test_weights.pth"
#define AGAIN       "test_weights.again.safetensors"
#define AGAIN_TORCH "test_weights.again.pth"

static hm_model_config micro;
static hm_store *store; /* seg-micro's parameters and one average of each */
static const hm_classes classes = {
    .n = 3, .ids = (int64_t[]){3, 1, INT64_MAX}, .names = (char *[]){"circle", "tri\"angle", "\xc3\xa9t\xc3\xa9"}};

/* The parameters of a training graph of `c`; with `averages` a state "ema.<name>" of each. */
static hm_store *make_store(const hm_model_config *c, bool training, bool averages) {
    hm_graph *g = NULL;
    hm_model *m = NULL;
    hm_store *s = NULL;
    assert_int_equal(hm_graph_create(&g), HM_OK);
    const hm_model_options opt = {.batch = 1, .height = c->resolution, .width = c->resolution, .training = training};
    assert_int_equal(hm_model_build(&m, g, c, &opt), HM_OK);
    const size_t n = g->n_tensors;
    for (size_t i = 0; averages && i < n; i++) {
        char name[256];
        snprintf(name, sizeof name, "ema.%s", g->tensors[i]->name);
        if (g->tensors[i]->storage == HM_PARAM && g->tensors[i]->base == NULL)
            assert_non_null(hm_graph_state(g, name, g->tensors[i]->shape));
    }
    assert_int_equal(hm_store_create(&s), HM_OK);
    assert_int_equal(hm_store_add(s, g), HM_OK);
    hm_model_free(m);
    hm_graph_free(g);
    return s;
}

static int set_up(void **state) {
    (void)state;
    if (hm_model_config_named("seg-micro", &micro) != HM_OK)
        return 1;
    store = make_store(&micro, true, true);
    model_fill(store, 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hm_store_free(store);
    unlink(PATH);
    unlink(TORCH);
    unlink(AGAIN);
    unlink(AGAIN_TORCH);
    return 0;
}

static hm_weights *open_weights(const char *path) {
    hm_weights *w;
    if (hm_weights_open(&w, path) != HM_OK)
        fail_msg("%s", hm_error_message());
    return w;
}

static void save(const char *prefix) {
    if (hm_weights_save(PATH, store, prefix, &micro, &classes) != HM_OK)
        fail_msg("%s", hm_error_message());
}

/* Every parameter of s equals <prefix><name> of `store`. */
static void expect_equal(const hm_store *s, const char *prefix) {
    size_t n = 0;
    for (size_t i = 0; i < hm_store_count(s); i++) {
        const char *name;
        char full[256];
        hm_shape shape;
        hm_storage kind;
        const float *const data = hm_store_at(s, i, &name, &shape, &kind);
        snprintf(full, sizeof full, "%s%s", prefix, name);
        const float *const expected = hm_store_find(store, full, NULL);
        assert_non_null(expected);
        assert_memory_equal(data, expected, (size_t)hm_shape_count(shape) * sizeof *data);
        n++;
    }
    assert_true(n > 100);
}

static void round_trip(void **state) {
    (void)state;
    save(NULL);
    hm_weights *const w = open_weights(PATH);
    const hm_model_config *const c = hm_weights_config(w);
    assert_memory_equal(c, &micro, sizeof micro);
    assert_string_equal(hm_weights_metadata(w, "halfmask"), HM_VERSION);
    const hm_classes *const k = hm_weights_classes(w);
    assert_int_equal(k->n, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(k->ids[i] == classes.ids[i]);
        assert_string_equal(k->names[i], classes.names[i]);
    }
    for (int training = 0; training < 2; training++) {
        hm_store *const s = make_store(c, training, false);
        assert_int_equal(hm_weights_load(w, s), HM_OK);
        expect_equal(s, "");
        hm_store_free(s);
    }
    hm_weights_close(w);
}

static void averages_under_the_parameters_names(void **state) {
    (void)state;
    save("ema.");
    hm_weights *const w = open_weights(PATH);
    hm_store *const s = make_store(&micro, true, false);
    assert_int_equal(hm_weights_load(w, s), HM_OK);
    expect_equal(s, "ema.");
    assert_int_equal(hm_weights_copy(s, store, NULL), HM_OK);
    expect_equal(s, "");
    assert_int_equal(hm_weights_copy(s, store, "ema."), HM_OK);
    expect_equal(s, "ema.");
    assert_int_equal(hm_weights_copy(s, store, "none."), HM_ERR_INTERNAL);
    assert_int_equal(hm_weights_save(PATH, s, "ema.", &micro, &classes), HM_ERR_INTERNAL);
    hm_store_free(s);
    hm_weights_close(w);
}

/* Class heads are cut or repeated; all else is the file's. */
static void other_numbers_of_classes(void **state) {
    (void)state;
    save(NULL);
    for (int n = 1; n <= 9; n += 4) {
        hm_model_config c = micro;
        c.num_classes = n;
        hm_store *const s = make_store(&c, true, false);
        hm_shape shape;
        if (hm_weights_pretrain(PATH, &c, s, NULL) != HM_OK)
            fail_msg("%s", hm_error_message());
        const float *const got = hm_store_find(s, "transformer.enc_out_class_embed.2.weight", &shape);
        const float *const from = hm_store_find(store, "transformer.enc_out_class_embed.2.weight", NULL);
        assert_int_equal(shape.dim[0], n + 1);
        for (int64_t i = 0; i < shape.dim[0]; i++)
            assert_memory_equal(got + i * shape.dim[1], from + i % 4 * shape.dim[1],
                                (size_t)shape.dim[1] * sizeof *got);
        hm_weights *const w = open_weights(PATH);
        assert_int_equal(hm_weights_load(w, s), HM_ERR_FORMAT);
        assert_non_null(strstr(hm_error_message(), "class_embed"));
        hm_weights_close(w);
        hm_store_free(s);
    }
    hm_model_config other;
    assert_int_equal(hm_model_config_named("seg-nano", &other), HM_OK);
    assert_int_equal(hm_weights_pretrain(PATH, &other, store, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "seg-micro"));
}

/* A grid of constant rows stays constant when resampled; the class token's row stays as it is; a grid of the same size
 * is not touched. */
static void other_position_grids(void **state) {
    (void)state;
    static const char name[] = "backbone.0.encoder.encoder.embeddings.position_embeddings";
    hm_shape shape;
    float *const from = hm_store_find(store, name, &shape);
    const int64_t C = shape.dim[2];
    for (int64_t i = C; i < hm_shape_count(shape); i++)
        from[i] = (float)(i % C) - 3;
    save(NULL);
    for (int grid = 9; grid <= 23; grid += 7) {
        hm_model_config c = micro;
        c.positional_encoding_size = grid;
        hm_store *const s = make_store(&c, true, false);
        if (hm_weights_pretrain(PATH, &c, s, NULL) != HM_OK)
            fail_msg("%s", hm_error_message());
        const float *const got = hm_store_find(s, name, &shape);
        assert_int_equal(shape.dim[1], 1 + grid * grid);
        assert_memory_equal(got, from, (size_t)C * sizeof *got);
        for (int64_t i = C; i < hm_shape_count(shape); i++)
            assert_true(fabsf(got[i] - ((float)(i % C) - 3)) < 1e-4f);
        hm_store_free(s);
    }
}

/* Row q of group g of a table of queries. */
static float *query(const hm_store *s, const hm_model_config *c, const char *table, int g, int q, size_t *bytes) {
    hm_shape shape;
    float *const rows = hm_store_find(s, table, &shape);
    assert_true(rows != NULL && shape.dim[0] == (int64_t)c->group_detr * c->num_queries);
    *bytes = (size_t)shape.dim[1] * sizeof *rows;
    return rows + (g * c->num_queries + q) * shape.dim[1];
}

static void expect_queries(const hm_store *s, const hm_store *drawn, const hm_model_config *c, const char *table) {
    size_t bytes;
    for (int g = 0; g < c->group_detr; g++)
        for (int q = 0; q < c->num_queries; q++) {
            const bool kept = g < micro.group_detr && q < micro.num_queries;
            const float *const got = query(s, c, table, g, q, &bytes);
            assert_memory_equal(
                got, kept ? query(store, &micro, table, g, q, &bytes) : query(drawn, c, table, g, q, &bytes), bytes);
        }
}

/* The first queries of each of the first groups are the file's, wherever they stand in the table; what the file has not
 * stays as it was drawn. A file of such a model is known again. */
static void other_queries_and_groups(void **state) {
    (void)state;
    static const struct {
        int queries, groups;
        const char *words;
    } cases[] = {
        {8, 5, "queries re-made for 5 groups of 8 from 5 of 20: the first 8 of the first 5 groups kept"},
        {20, 3, "queries re-made for 3 groups of 20"},
        {30, 7, "the first 20 of the first 5 groups kept, the others drawn anew"},
        {10, 10, "queries re-made for 10 groups of 10"}, /* as many rows as the file, in another order */
        {20, 5, "tensors kept as they are"},
    };
    static const char last[] = "transformer.enc_output.%d.weight";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[HM_WEIGHTS_WORDS], name[64];
        hm_model_config c = micro;
        c.num_queries = cases[i].queries;
        c.group_detr = cases[i].groups;
        hm_store *s, *drawn;
        save(NULL);
        assert_int_equal(hm_weights_store(&drawn, &c), HM_OK);
        assert_int_equal(hm_model_init(&c, drawn, 5), HM_OK);
        assert_int_equal(hm_weights_store(&s, &c), HM_OK);
        assert_int_equal(hm_store_copy(s, drawn), HM_OK);
        if (hm_weights_pretrain(PATH, &c, s, words) != HM_OK)
            fail_msg("%s", hm_error_message());
        if (strstr(words, cases[i].words) == NULL || strstr(words, "starting from " PATH) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", words, cases[i].words);
        assert_true((strstr(words, "queries") == NULL) == (i == 4));
        expect_queries(s, drawn, &c, "query_feat.weight");
        expect_queries(s, drawn, &c, "refpoint_embed.weight");
        snprintf(name, sizeof name, last, c.group_detr - 1);
        const bool in_file = c.group_detr <= micro.group_detr;
        assert_true(*hm_store_find(s, name, NULL) == *hm_store_find(in_file ? store : drawn, name, NULL));
        assert_int_equal(hm_weights_save(PATH, s, NULL, &c, &classes), HM_OK);
        hm_weights *const w = open_weights(PATH);
        assert_memory_equal(hm_weights_config(w), &c, sizeof c);
        hm_weights_close(w);
        hm_store_free(drawn);
        hm_store_free(s);
    }
}

/* What is re-made is said, with numbers. */
static void says_what_it_re_made(void **state) {
    (void)state;
    char words[HM_WEIGHTS_WORDS];
    hm_model_config c = micro;
    hm_store *s;
    save(NULL);
    c.num_classes = 8;
    c.positional_encoding_size = 9;
    assert_int_equal(hm_weights_store(&s, &c), HM_OK);
    assert_int_equal(hm_weights_pretrain(PATH, &c, s, words), HM_OK);
    assert_non_null(strstr(words, "class heads re-made for 8 classes from 3: rows repeated from the first on"));
    assert_non_null(strstr(words, "position embeddings interpolated from 16 x 16 to 9 x 9"));
    hm_store_free(s);
    c.num_classes = 1;
    assert_int_equal(hm_weights_store(&s, &c), HM_OK);
    assert_int_equal(hm_weights_pretrain(PATH, &c, s, words), HM_OK);
    assert_non_null(strstr(words, "class heads re-made for 1 classes from 3: the first rows kept"));
    hm_store_free(s);
}

/* ---- files that were changed ---- */

typedef struct edit {
    hm_safetensor *tensors; /* [n], room for one more */
    size_t n;
    hm_st_pair metadata[8];
    size_t n_metadata;
} edit;

static hm_safetensor *edit_find(edit *e, const char *name) {
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->tensors[i].name, name) == 0)
            return &e->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static edit edit_begin(hm_safetensors **file) {
    static const char *const keys[] = {"model", "resolution", "num_classes", "class_names", "category_ids"};
    edit e = {0};
    save(NULL);
    assert_int_equal(hm_safetensors_open(PATH, file), HM_OK);
    e.n = hm_safetensors_count(*file);
    e.tensors = calloc(e.n + 1, sizeof *e.tensors);
    for (size_t i = 0; i < e.n; i++)
        e.tensors[i] = *hm_safetensors_at(*file, i);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        e.metadata[e.n_metadata++] = (hm_st_pair){keys[i], hm_safetensors_metadata(*file, keys[i])};
    return e;
}

/* Writes the edit and opens it: HM_ERR_FORMAT with `word` in the message, or HM_OK when word is NULL. */
static void edit_expect(edit *e, hm_safetensors *file, const char *word) {
    hm_weights *w = NULL;
    assert_int_equal(hm_safetensors_write(PATH, e->tensors, e->n, e->metadata, e->n_metadata), HM_OK);
    const hm_status st = hm_weights_open(&w, PATH);
    if (word == NULL && st != HM_OK)
        fail_msg("%s", hm_error_message());
    if (word != NULL) {
        assert_int_equal(st, HM_ERR_FORMAT);
        assert_non_null(strstr(hm_error_message(), PATH));
        if (strstr(hm_error_message(), word) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), word);
    }
    hm_weights_close(w);
    hm_safetensors_close(file);
    free(e->tensors);
}

static void expect_metadata_refused(const char *key, const char *value, const char *word) {
    hm_safetensors *file;
    edit e = edit_begin(&file);
    for (size_t i = 0; i < e.n_metadata; i++)
        if (strcmp(e.metadata[i].key, key) == 0)
            e.metadata[i].value = value;
    edit_expect(&e, file, word);
}

static void bad_metadata_is_refused(void **state) {
    (void)state;
    expect_metadata_refused("model", "seg-pico", "seg-pico");
    expect_metadata_refused("model", "seg-nano", "class_embed.weight");
    expect_metadata_refused("resolution", "97", "97");
    expect_metadata_refused("resolution", "-96", "resolution");
    expect_metadata_refused("resolution", "99999999999999999999", "resolution");
    expect_metadata_refused("resolution", "", "resolution");
    expect_metadata_refused("num_classes", "4", "classes");
    expect_metadata_refused("class_names", "[", "class_names");
    expect_metadata_refused("class_names", "[]", "class_names");
    expect_metadata_refused("class_names", "{\"a\":1}", "class_names");
    expect_metadata_refused("class_names", "[1,2,3]", "class_names");
    expect_metadata_refused("class_names", "[\"1\",\"2\",\"3\",\"4\",\"5\"]", "class_names");
    expect_metadata_refused("category_ids", "", "category_ids");
    expect_metadata_refused("category_ids", "1,2", "category_ids");
    expect_metadata_refused("category_ids", "1,2,3,", "category_ids");
    expect_metadata_refused("category_ids", "1,2,9223372036854775808", "category_ids");
}

static void foreign_files_are_recognised(void **state) {
    (void)state;
    hm_safetensors *file;
    edit e = edit_begin(&file);
    e.n_metadata = 0;
    e.tensors[e.n++] = (hm_safetensor){.name = "_kp_active_mask", .dtype = HM_ST_BOOL, .rank = 2};
    edit_expect(&e, file, NULL);
    hm_weights *const w = open_weights(PATH);
    assert_string_equal(hm_weights_config(w)->name, "seg-micro");
    assert_int_equal(hm_weights_classes(w)->n, 0);
    hm_weights_close(w);

    e = edit_begin(&file);
    e.n_metadata = 0;
    edit_find(&e, "query_feat.weight")->name = "query_feat.wight";
    edit_expect(&e, file, "query_feat.weight");

    e = edit_begin(&file);
    e.n_metadata = 0;
    edit_find(&e, "segmentation_head.bias")->name = "segmentation_head.bas";
    edit_expect(&e, file, "which model");
}

static void tensors_that_do_not_fit_are_refused(void **state) {
    (void)state;
    hm_safetensors *file;
    static const char *const names[] = {"class_embed.bias", "query_feat.weight", "segmentation_head.bias",
                                        "backbone.0.encoder.encoder.embeddings.position_embeddings"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        edit e = edit_begin(&file);
        edit_find(&e, names[i])->name = "other";
        edit_expect(&e, file, names[i]);

        e = edit_begin(&file);
        hm_safetensor *const t = edit_find(&e, names[i]);
        t->rank = 1;
        t->shape[0] = (int64_t)(t->bytes / 4) - 1;
        t->bytes -= 4;
        edit_expect(&e, file, names[i]);

        e = edit_begin(&file);
        edit_find(&e, names[i])->dtype = HM_ST_I32;
        edit_expect(&e, file, names[i]);
    }
    edit e = edit_begin(&file);
    e.tensors[e.n++] = (hm_safetensor){.name = "surplus", .dtype = HM_ST_F32, .rank = 1};
    edit_expect(&e, file, "surplus");

    e = edit_begin(&file);
    hm_safetensor *const head = edit_find(&e, "class_embed.weight");
    head->shape[0] = INT64_C(1) << 50;
    head->shape[1] = 0;
    head->bytes = 0;
    edit_expect(&e, file, "class_embed.weight");
}

static void other_number_types_are_read(void **state) {
    (void)state;
    hm_safetensors *file;
    static const uint16_t half[4] = {0x3C00, 0xC000, 0x0001, 0x7BFF}, brain[4] = {0x3F80, 0xC000, 0x0001, 0x7F7F};
    static const double wide[4] = {1, -2, 0x1p-24, 65504};
    static const uint16_t bad[4] = {0, 0x7C00, 0, 0};
    hm_store *const s = make_store(&micro, true, false);
    for (int k = 0; k < 4; k++) {
        edit e = edit_begin(&file);
        hm_safetensor *const t = edit_find(&e, "class_embed.bias");
        t->dtype = k == 1 ? HM_ST_BF16 : k == 2 ? HM_ST_F64 : HM_ST_F16;
        t->data = k == 0 ? (const void *)half : k == 1 ? (const void *)brain : k == 2 ? (const void *)wide : bad;
        t->bytes = 4 * hm_st_dtype_size(t->dtype);
        edit_expect(&e, file, NULL);
        hm_weights *const w = open_weights(PATH);
        assert_int_equal(hm_weights_load(w, s), k < 3 ? HM_OK : HM_ERR_FORMAT);
        const float *const b = hm_store_find(s, "class_embed.bias", NULL);
        if (k < 3)
            assert_true(b[0] == 1 && b[1] == -2 && (k == 1 || (b[2] == 0x1p-24f && b[3] == 65504)));
        else
            assert_non_null(strstr(hm_error_message(), "class_embed.bias holds inf at element 1"));
        hm_weights_close(w);
    }
    hm_store_free(s);
}

/* Files that are cut or have a byte changed in the header never do harm. */
static void damaged_files(void **state) {
    (void)state;
    char *data;
    size_t len, opened = 0;
    hm_weights *w;
    save(NULL);
    assert_int_equal(hm_file_read(PATH, (size_t)1 << 30, &data, &len), HM_OK);
    uint64_t header;
    memcpy(&header, data, sizeof header);
    for (size_t i = 0; i < 60; i++) {
        const size_t at = (size_t)(hm_rng_bits(7, i) % (header + 8));
        const char old = data[at];
        data[at] = (char)(old ^ (1 << i % 7));
        assert_int_equal(hm_file_write(PATH, data, len), HM_OK);
        opened += hm_weights_open(&w, PATH) == HM_OK; /* a class name may change unseen */
        hm_weights_close(w);
        data[at] = old;
    }
    assert_true(opened < 10);
    for (size_t i = 0; i < 20; i++) {
        const size_t cut = i == 0 ? 0 : i == 1 ? len - 1 : (size_t)(hm_rng_bits(8, i) % len);
        assert_int_equal(hm_file_write(PATH, data, cut), HM_OK);
        assert_int_equal(hm_weights_open(&w, PATH), HM_ERR_FORMAT);
        assert_null(w);
    }
    free(data);
    assert_int_equal(hm_weights_open(&w, "no/such/file"), HM_ERR_IO);
    assert_int_equal(hm_weights_save("no/such/file", store, NULL, &micro, &classes), HM_ERR_IO);
}

/* ---- checkpoints ---- */

static void convert(const char *from, const char *to) {
    const char *const paths[] = {from, to};
    FILE *const nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    if (hm_convert_weights(&(hm_convert_options){0}, paths, 2, nowhere) != HM_OK)
        fail_msg("%s", hm_error_message());
    fclose(nowhere);
}

static void same_content(const char *a, const char *b) {
    char *data[2];
    size_t len[2];
    assert_int_equal(hm_file_read(a, 1 << 28, &data[0], &len[0]), HM_OK);
    assert_int_equal(hm_file_read(b, 1 << 28, &data[1], &len[1]), HM_OK);
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(data[0], data[1], len[0]);
    free(data[0]);
    free(data[1]);
}

/* Written as rfdetr has it, the file says and holds the same, and comes back to the same bytes. */
static void checkpoint_round_trip(void **state) {
    (void)state;
    save("ema.");
    if (hm_weights_save(TORCH, store, "ema.", &micro, &classes) != HM_OK)
        fail_msg("%s", hm_error_message());
    hm_weights *const w = open_weights(TORCH);
    assert_memory_equal(hm_weights_config(w), &micro, sizeof micro);
    for (int i = 0; i < 3; i++) {
        assert_true(hm_weights_classes(w)->ids[i] == classes.ids[i]);
        assert_string_equal(hm_weights_classes(w)->names[i], classes.names[i]);
    }
    hm_store *const s = make_store(&micro, true, false);
    assert_int_equal(hm_weights_load(w, s), HM_OK);
    expect_equal(s, "ema.");
    hm_store_free(s);
    hm_weights_close(w);
    convert(TORCH, AGAIN);
    same_content(AGAIN, PATH);
    convert(PATH, AGAIN_TORCH);
    same_content(AGAIN_TORCH, TORCH);
}

/* A variant of rfdetr's: the buffer that its models have is added, and our reader knows it. */
static void upstream_variant(void **state) {
    (void)state;
    hm_model_config c;
    hm_store *s;
    hm_tensor_file *f;
    assert_int_equal(hm_model_config_named("nano", &c), HM_OK);
    assert_int_equal(hm_weights_store(&s, &c), HM_OK);
    assert_int_equal(hm_weights_save(TORCH, s, NULL, &c, &(hm_classes){0}), HM_OK);
    hm_store_free(s);
    assert_int_equal(hm_tensor_file_open(&f, TORCH, false), HM_OK);
    const hm_safetensor *const extra = hm_tensor_file_find(f, "_kp_active_mask");
    assert_non_null(extra);
    assert_true(extra->dtype == HM_ST_BOOL && extra->rank == 2 && extra->bytes == 0);
    hm_tensor_file_close(f);
    hm_weights *const w = open_weights(TORCH);
    assert_memory_equal(hm_weights_config(w), &c, sizeof c);
    assert_int_equal(hm_weights_classes(w)->n, 0);
    hm_weights_close(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(averages_under_the_parameters_names),
        cmocka_unit_test(other_numbers_of_classes),
        cmocka_unit_test(other_position_grids),
        cmocka_unit_test(other_queries_and_groups),
        cmocka_unit_test(says_what_it_re_made),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(foreign_files_are_recognised),
        cmocka_unit_test(tensors_that_do_not_fit_are_refused),
        cmocka_unit_test(other_number_types_are_read),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(checkpoint_round_trip),
        cmocka_unit_test(upstream_variant),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
