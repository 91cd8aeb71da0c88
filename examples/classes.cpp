// classes.cpp: the header in C++: prints the classes of a weights file: classes WEIGHTS
#include <halfmask.h>

#include <iostream>
#include <memory>

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: classes WEIGHTS\n";
        return 2;
    }
    hm_predict_options *options = nullptr;
    hm_predictor *made = nullptr;
    hm_status st = hm_options_new(HM_COMMAND_PREDICT, &options);
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_PREDICT, options, "weights", argv[1], nullptr);
    if (st == HM_OK)
        st = hm_predictor_new(&made, options, 1);
    hm_options_free(HM_COMMAND_PREDICT, options);
    const std::unique_ptr<hm_predictor, decltype(&hm_predictor_free)> predictor(made, hm_predictor_free);
    if (st != HM_OK) {
        std::cerr << "classes: " << hm_error_message() << "\n";
        return 1;
    }
    for (int32_t i = 0; i < hm_predictor_classes(made); i++)
        std::cout << hm_predictor_class_name(made, i) << "\n";
}
