/* shape_weights.h: a seg-micro file with random weights that finds something: for tests that predict. */
#ifndef HM_TEST_SHAPE_WEIGHTS_H
#define HM_TEST_SHAPE_WEIGHTS_H

#include "data/dataset.h"
#include "model/rfdetr.h"
#include "model_fill.h"
#include "weights/weights.h"

/* Sets the last layer of a box head so that boxes keep their place and are about `factor` times as large. */
static inline void shape_weights_tame(hm_store *store, const char *head, float factor) {
    char name[128];
    hm_shape shape;
    snprintf(name, sizeof name, "%s.layers.2.weight", head);
    float *const weight = hm_store_find(store, name, &shape);
    for (int64_t i = 0; i < hm_shape_count(shape); i++)
        weight[i] *= 0.02f;
    snprintf(name, sizeof name, "%s.layers.2.bias", head);
    float *const bias = hm_store_find(store, name, NULL);
    bias[0] = bias[1] = 0;
    bias[2] = bias[3] = logf(factor);
}

/* Random weights with the classes of the shapes; one class scores high and boxes have the objects' size, so that there
 * is something to judge. */
static inline hm_status shape_weights(const char *path, const char *data_dir) {
    hm_model_config c;
    hm_graph *g = NULL;
    hm_model *m = NULL;
    hm_store *store = NULL;
    hm_dataset data;
    hm_status st;
    HM_TRY(hm_dataset_open(&data, data_dir, "train", NULL));
    HM_TRY(hm_model_config_named("seg-micro", &c));
    HM_TRY_TO(st, done, hm_graph_create(&g));
    HM_TRY_TO(st, done,
              hm_model_build(
                  &m, g, &c,
                  &(hm_model_options){.batch = 1, .height = c.resolution, .width = c.resolution, .training = true}));
    HM_TRY_TO(st, done, hm_store_create(&store));
    HM_TRY_TO(st, done, hm_store_add(store, g));
    model_fill(store, 7);
    hm_store_find(store, "class_embed.bias", NULL)[0] = 2;
    shape_weights_tame(store, "bbox_embed", 3);
    shape_weights_tame(store, "transformer.enc_out_bbox_embed.0", 2);
    st = hm_weights_save(path, store, NULL, &c, &data.classes);
done:
    hm_dataset_free(&data);
    hm_store_free(store);
    hm_model_free(m);
    hm_graph_free(g);
    return st;
}

#endif
