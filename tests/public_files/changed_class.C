// A class whose members changed without its version, as classes without ClassDef do: a file of either form.
#include <TFile.h>
#include <TTree.h>

#ifdef NEW_FORM
struct Changed { double second; float first; int added; };
#else
struct Changed { float first; double second; };
#endif

void changed_class(const char *path) {
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   Float_t x; Long64_t event; Changed changed, whole;
   tree.Branch("x", &x, "x/F"); tree.Branch("event", &event, "event/L"); tree.Branch("c.", &changed); tree.Branch("w", &whole, 32000, 0);
   for (int k = 0; k < 60; k++) {
      x = 0.25f * k - 5; event = 1000 + 7 * k; changed.first = k; changed.second = 2 * k;
#ifdef NEW_FORM
      changed.added = 3 * k;
#endif
      whole = changed;
      tree.Fill();
   }
   tree.Write();
}
void changed_class_old_form(const char *path) { changed_class(path); }
void changed_class_new_form(const char *path) { changed_class(path); }
